"""Which way serves a product of a convolution of planes best.

A product is done with lines in vectors, directly (direct.py and the files it names) or by one of
Winograd's filterings (winograd/lines.py); or, where planes are small, and lanes would be empty or
products with margins in vain, with something else in the lanes:

    DOTS       small/dots.py          places, whose products are summed: few taps and outputs
    IMAGES     small/images.py        images, directly
    TILES      winograd/images.py     images, by a filtering
    CHANNELS   winograd/channels.py   channels, by a filtering: the gradient of the filters

`winograd/choice.py` says which of the filterings the user allows, and which of the first two ways
is better. That one and the others are compared by a model of their times, in multiplications, of
which a core does 50 in a nanosecond with AVX2: those of all tiles of registers, with what these do
in vain; and for each number that is rearranged or transformed as many as take the same time. The
factors are fitted to some twenty layers of 7 x 7 to 32 x 32 places.
"""

from functools import lru_cache

from .._vector.instructions import LANES, ROWS
from .._vector.scratch import whole
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import padded_rows
from .direct import rotated
from .small import dots, images
from .unfolded import Plan
from .unfolded import plan as make_plan
from .winograd.choice import DATA, FILTER, IMAGE, WEIGHT, allowed, choose, fits
from .winograd.transforms import FILTERINGS

DIRECT, WINOGRAD, DOTS, IMAGES, TILES, CHANNELS = range(6)
Way = tuple[int, int]  # one of these, and which of the FILTERINGS if it uses one

PRODUCTS = 1.22  # the time of a product that is all in the caches, by that at the peak
SHORT = 1.3  # the same for the direct gradient of filters
COPIED = 7  # a number copied along a line
ADDED = 36  # a number of dcol added to dx
TURNED = 28  # a number of an image transposed, and transposed back
TRANSFORMED = 9  # a number transformed, where no lane is empty
SUMMED = 10  # a number of the sums read and written
CLEARLY = 0.92  # of the usual way's time must be left

LAID_OUT = 1 << 19  # floats of COLUMNS images: a part of a third-level cache
TRANSFORMS = 1 << 18  # floats of an image's transformed tiles


def decide(plan: Plan, product: int) -> Way:
    """The way for a product, and which of the FILTERINGS it uses; -1 if it uses none."""
    return _decide(tuple(plan[:16]), product, allowed(), choose(plan, product))


@lru_cache(maxsize=1024)
def _decide(
    sizes: tuple[int, ...], product: int, filterings: tuple[int, ...], chosen: int | None
) -> Way:
    plan = _plan(sizes)
    if chosen is None:
        if product == WEIGHT and _dots_serve(plan):
            return DOTS, -1
        best, usual = (DIRECT, -1), _direct(plan, product)
    else:
        best, usual = (WINOGRAD, chosen), _winograd(plan, chosen, product)
    least = CLEARLY * usual
    for way, cost in _others(plan, product, filterings):
        if cost < least:
            best, least = way, cost
    return best


def _plan(sizes: tuple[int, ...]) -> Plan:
    """The plan that begins with these sizes."""
    n, groups, channels, outputs, height, width, out_height, out_width, *rest = sizes
    kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w = rest
    return make_plan(
        (n, groups * channels, height, width), (n, groups * outputs, out_height, out_width),
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w),
        groups,
    )  # fmt: skip


def _others(plan: Plan, product: int, filterings: tuple[int, ...]) -> list[tuple[Way, float]]:
    """What can be done with something else than lines in the lanes, and its cost."""
    found: list[tuple[Way, float]] = []
    useful = [which for which in filterings if fits(plan, which)]
    if product == WEIGHT:
        for which in useful:
            if _transforms(plan, which) <= TRANSFORMS:
                found.append(((CHANNELS, which), _channels(plan, which)))
        return found
    if product == DATA:
        if (plan.stride_h, plan.stride_w) != (1, 1):
            return []
        plan = images.transposed(plan)
    if images.fits(plan):
        found.append(((IMAGES, -1), _images(plan)))
    for which in useful:
        if _padded_image(plan, which) * COLUMNS <= LAID_OUT:
            found.append(((TILES, which), _tiles(plan, which)))
    return found


def _dots_serve(plan: Plan) -> bool:
    return dots.fits(plan) and plan.depth <= 2 * COLUMNS and plan.outputs % COLUMNS != 0


# ---- costs of the usual ways


def _direct(plan: Plan, product: int) -> float:
    """The ways of direct.py, direct_weights.py and direct_columns.py."""
    items = plan.images * plan.groups
    if product == WEIGHT:
        panels = whole(plan.depth, ROWS) * whole(plan.outputs, COLUMNS)
        return SHORT * items * plan.places * panels
    if product == DATA:
        back = rotated(plan)
        if back is None:
            products = padded_rows(plan.depth) * plan.outputs
            return items * plan.places * (PRODUCTS * products + ADDED * plan.depth)
        plan = back
    products = padded_rows(plan.outputs) * whole(plan.places, COLUMNS)
    return items * plan.depth * (PRODUCTS * products + COPIED * plan.places)


def _winograd(plan: Plan, which: int, product: int) -> float:
    """winograd/lines.py: neighbouring tiles of a line are in the lanes of its transforms."""
    m, n = FILTERINGS[which].m, _elements(which)
    size = (plan.height, plan.width) if product == DATA else (plan.out_height, plan.out_width)
    high, wide = plan.images * -(-size[0] // m), -(-size[1] // m)
    products = PRODUCTS * whole(high * wide, COLUMNS) * plan.channels * plan.outputs
    transforms = IMAGE[product] * high * whole(wide, LANES) * (plan.channels + plan.outputs)
    filters = FILTER * plan.channels * plan.outputs
    return plan.groups * n * (products + transforms + filters)


# ---- costs of the others


def _images(plan: Plan) -> float:
    items = whole(plan.images, COLUMNS) * plan.groups
    products = padded_rows(plan.outputs) * images.products_of_an_output(plan)
    return items * (PRODUCTS * products + TURNED * (plan.image + plan.outputs * plan.places))


def _tiles(plan: Plan, which: int) -> float:
    items = whole(plan.images, COLUMNS)
    products = PRODUCTS * padded_rows(plan.outputs) * plan.channels
    tile = products + TRANSFORMED * (plan.channels + plan.outputs)
    filters = FILTER * plan.channels * plan.outputs
    turned = TURNED * items * (plan.image + plan.outputs * plan.places)
    made = _elements(which) * (items * _count(plan, which) * tile + filters)
    return plan.groups * (made + turned)


def _channels(plan: Plan, which: int) -> float:
    columns = whole(plan.outputs, COLUMNS)
    products = PRODUCTS * padded_rows(plan.channels) * columns
    transforms = TRANSFORMED * (whole(plan.channels, LANES) + whole(plan.outputs, LANES))
    tiles = plan.images * _count(plan, which)
    together = max(1, (TRANSFORMS // 2) // _transforms(plan, which))
    sums = plan.channels * columns * (FILTER + SUMMED * plan.images / together)
    turned = TURNED * plan.images * (plan.image + plan.outputs * plan.places)
    return plan.groups * (_elements(which) * (tiles * (products + transforms) + sums) + turned)


def _elements(which: int) -> int:
    return (FILTERINGS[which].m + FILTERINGS[which].r - 1) ** 2


def _count(plan: Plan, which: int) -> int:
    """Tiles of an image."""
    m = FILTERINGS[which].m
    return -(-plan.out_height // m) * -(-plan.out_width // m)


def _padded_image(plan: Plan, which: int) -> int:
    """Floats of an image of whole tiles with its margins."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    high, wide = whole(plan.out_height, m) + r - 1, whole(plan.out_width, m) + r - 1
    return high * wide * plan.channels


def _transforms(plan: Plan, which: int) -> int:
    """Floats of an image's transformed tiles, and of those of COLUMNS of its gradients."""
    channels = whole(plan.channels, LANES) + COLUMNS
    return _elements(which) * _count(plan, which) * channels
