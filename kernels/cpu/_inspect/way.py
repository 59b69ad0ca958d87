"""Which way a convolution goes, and why: the model of convolution/choice.py in words."""

from .._vector.instructions import LANES
from ..convolution import choice
from ..convolution.figures import FIGURES
from ..convolution.plan import DATA, FORWARD, PRODUCTS, WEIGHT, Plan, Way

FUNCTIONS = {"forward": FORWARD, "backward_data": DATA, "backward_weight": WEIGHT}
MEANS = {
    choice.DIRECT: "neighbouring pixels of a line in the lanes of a vector",
    choice.POINTWISE: "filters of 1 x 1: one matrix product, nothing has to be laid out",
    choice.DEPTHWISE: "tiny groups, which leave most of a matrix product's tile empty",
    choice.DOT_PRODUCTS: "pixels in the lanes, whose products are summed: few taps and outputs",
    choice.IMAGES_IN_LANES: "images in the lanes, so that small planes fill them",
    choice.LINES: "Winograd's filtering, neighbouring tiles of a line in the lanes",
    choice.IMAGES: "Winograd's filtering, images in the lanes, so that small planes fill them",
    choice.CHANNELS: "Winograd's filtering, channels in the lanes",
    choice.ANY_AXES: "more than two spatial axes: what filters see is written out",
}
SHOWN = 3  # other ways


def way(plan: object, function: str = "") -> str:
    """A sentence for a function of kernels/cpu/convolution with a plan; for all three without one.

    "" for what is no plan, and for a function whose product takes no way of its own.
    """
    if not isinstance(plan, Plan):
        return ""
    if function:
        return _sentence(plan, FUNCTIONS[function]) if function in FUNCTIONS else ""
    return " ".join(f"{PRODUCTS[product]}: {_sentence(plan, product)}" for product in range(3))


def _sentence(plan: Plan, product: int) -> str:
    taken = plan.ways[product]
    begin = f"{taken}: {MEANS[taken.file]}"
    milliseconds = _model(plan, product)
    if len(milliseconds) < 2:
        return f"{begin}."
    order = sorted(milliseconds, key=milliseconds.__getitem__)
    others = [f"{each} {milliseconds[each]:.3g} ms" for each in order if each != taken]
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return (
        f"{begin}. The model expects {milliseconds[taken]:.3g} ms on one thread;"
        f" {', '.join(others[:SHOWN])}{more}."
    )


def _model(plan: Plan, product: int) -> dict[Way, float]:
    """The milliseconds that were compared; nothing where nothing was."""
    if plan.ways[product].file in (choice.ANY_AXES, choice.POINTWISE, choice.DEPTHWISE):
        return {}
    for kept in (False, True):  # a plan does not say whether filters are kept: what fits, was so
        found = {
            each: choice.cost(
                counts, (*FIGURES[LANES][kind][:-1], choice.READ) if kept else FIGURES[LANES][kind]
            ) * 1e-9
            for each, kind, counts in choice.counted(plan.sizes, product, choice.allowed())
        }  # fmt: skip
        if min(found, key=found.__getitem__) == plan.ways[product]:
            return found
    return {}
