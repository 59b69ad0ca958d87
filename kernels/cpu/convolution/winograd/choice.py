"""Where Winograd's convolution is faster, and with what tiles.

The user's say is the environment variable MINICAFFE_WINOGRAD:

    fast    the default: all filterings whose errors are within the tolerance of the tests
    exact   only those whose errors are as small as those of a sum of products: F(2, 3)
    off     none

Among these the cheapest is taken, by a model of the time in multiplications (of an output, a
channel, and a tap): a product of T tiles, C channels and O outputs needs n^2 T C O of them, and
each of the n^2 (T C + T O + C O) numbers that are transformed costs as much as some tens.
"""

import os

from minicaffe.errors import DeviceError

from ...gemm.micro_kernel import COLUMNS
from ..unfolded import Plan
from .transforms import FILTERINGS

VARIABLE = "MINICAFFE_WINOGRAD"
LEVELS = {"off": (), "exact": (0,), "fast": (0, 1, 2)}  # which FILTERINGS

FORWARD, DATA, WEIGHT = range(3)  # the three products
# Multiplications that take as long as to transform a number: of an image, and of a filter. The
# gradient of the weights has its transformed gradients transposed, too.
IMAGE = {FORWARD: 16, DATA: 16, WEIGHT: 30}
FILTER = 40
WIDEST = 512  # tiles of a row, which is the smallest block

_allowed: tuple[int, ...] | None = None


def allowed() -> tuple[int, ...]:
    """The filterings that the user allows. Raises DeviceError for an unknown word."""
    global _allowed
    if _allowed is None:
        word = os.environ.get(VARIABLE) or "fast"
        if word not in LEVELS:
            raise DeviceError(f"{VARIABLE}={word}: it is one of {', '.join(LEVELS)}")
        _allowed = LEVELS[word]
    return _allowed


def choose(plan: Plan, product: int) -> int | None:
    """Which of the FILTERINGS is fastest for a product of this convolution; None for none."""
    best, least = None, _direct_cost(plan)
    for which in allowed():
        if fits(plan, which) and (cost := _cost(plan, which, product)) < least:
            best, least = which, cost
    return best


def choice(plan: Plan, product: int) -> int:
    """Which of the FILTERINGS serves a product that is done so."""
    which = choose(plan, product)
    assert which is not None, "this convolution is done in another way"
    return which


def fits(plan: Plan, which: int) -> bool:
    """Whether a filtering can be used for a convolution."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    steps = (plan.stride_h, plan.stride_w, plan.dilation_h, plan.dilation_w)
    square = (plan.kernel_h, plan.kernel_w) == (r, r)
    return square and steps == (1, 1, 1, 1) and max(plan.width, plan.out_width) <= m * WIDEST


def _direct_cost(plan: Plan) -> float:
    return plan.images * plan.groups * plan.places * plan.depth * plan.outputs


def _cost(plan: Plan, which: int, product: int) -> float:
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    size = (plan.height, plan.width) if product == DATA else (plan.out_height, plan.out_width)
    tiles = plan.images * -(-size[0] // m) * -(-size[1] // m)
    columns = -(-tiles // COLUMNS) * COLUMNS
    pairs = plan.channels * plan.outputs
    transforms = IMAGE[product] * tiles * (plan.channels + plan.outputs) + FILTER * pairs
    return plan.groups * (m + r - 1) ** 2 * (columns * pairs + transforms)
