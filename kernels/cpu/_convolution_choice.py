"""Which way serves a product of a convolution of planes best.

Depthwise and the like go through `_convolution_lines.py`; what Winograd's filterings make cheaper,
by its own model (_winograd_choice.py), through `_winograd.py`. Of the others some are done with
lines in vectors (_convolution_2d.py), some with images (_convolution_images.py), which wastes
nothing where planes are small, and some with places whose products are summed
(_convolution_dots.py), which wastes nothing where outputs and taps are few.

Times are estimated in multiplications, of which a core does 50 in a nanosecond with AVX2: those of
the tiles, with what they do in vain; and for each number that is rearranged as many as take the
same time. The factors are fitted to the layers of LeNet and CIFAR-10 quick.
"""

from . import _convolution_dots as dots
from . import _convolution_images as images
from ._convolution_2d import rotated
from ._micro_kernel import COLUMNS
from ._packing import padded_rows
from ._scratch import whole
from ._unfolded import Plan

TILES = 1.22  # the time of a product that is all in the caches, by that at the peak
COPIED = 7  # a number copied along a line
ADDED = 36  # a number of dcol added to dx
TURNED = 28  # a number of an image transposed, and transposed back
CLEARLY = 0.9  # of the usual way's time must be left


def images_serve(plan: Plan, backward: bool) -> bool:
    """Whether forward, or backward to the images, is faster with images in the lanes."""
    if not backward:
        return images.fits(plan) and _images(plan) < CLEARLY * _columns(plan)
    if (plan.stride_h, plan.stride_w) != (1, 1):
        return False
    back, turned = rotated(plan), images.transposed(plan)
    usual = _added_columns(plan) if back is None else _columns(back)
    return images.fits(turned) and _images(turned) < CLEARLY * usual


def dots_serve(plan: Plan) -> bool:
    """Whether backward to the weights is faster as scalar products of planes."""
    return dots.fits(plan) and plan.depth <= 2 * COLUMNS and plan.outputs % COLUMNS != 0


def _columns(plan: Plan) -> float:
    """The way of _convolution_2d.py forward."""
    items = plan.images * plan.groups * plan.depth
    products = padded_rows(plan.outputs) * whole(plan.places, COLUMNS)
    return items * (TILES * products + COPIED * plan.places)


def _added_columns(plan: Plan) -> float:
    """The way of _convolution_columns.py."""
    items = plan.images * plan.groups * plan.places
    return items * (TILES * padded_rows(plan.depth) * plan.outputs + ADDED * plan.depth)


def _images(plan: Plan) -> float:
    """The way of _convolution_images.py forward."""
    items = whole(plan.images, COLUMNS) * plan.groups
    products = padded_rows(plan.outputs) * images.products_of_an_output(plan)
    return items * (TILES * products + TURNED * (plan.image + plan.outputs * plan.places))
