"""Convolution where a filter has few channels and a group few outputs: depthwise, above all.

Then no number is used often enough to be packed for a matrix product. The image is unfolded
(_unfolded.py), and each line of outputs is the sum of lines of it, one for each tap:

* forward keeps LANES outputs in a register, and adds what all taps see;
* backward to the images adds each line of dy, times the filter's number, to what the tap sees;
* backward to the weights takes the scalar product of dy and what the tap sees.

Each is 2 N O P K operations. Threads share the groups of all images; for the weights, which sum
over images, the groups.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel, num_threads
from ._lanes import copy_line, fill_line
from ._line_kernel import add_product, dot_lines, sum_taps
from ._unfolded import Plan, fold, unfold
from ._vectors import LANES

F32 = NDArray[np.float32]


def serves(plan: Plan) -> bool:
    """Whether this file is faster for such a convolution than products of matrices."""
    return plan.groups > 1 and plan.outputs * plan.channels <= 4


def scratch_size(plan: Plan) -> int:
    """Floats of scratch: for each thread an unfolded image, and dy with room behind it."""
    return num_threads() * _each(plan)


def _each(plan: Plan) -> int:
    return plan.unfolded + plan.outputs * plan.places + LANES


def _threads(plan: Plan, scratch: F32) -> int:
    return min(num_threads(), scratch.size // _each(plan))


def forward(plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias."""
    _forward(
        plan, x.reshape(-1), _by_taps(plan, weight), bias, y.reshape(-1), scratch, _each(plan),
        _threads(plan, scratch),
    )  # fmt: skip


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    _backward_data(
        plan, dy.reshape(-1), _by_taps(plan, weight), dx.reshape(-1), scratch, _each(plan),
        _threads(plan, scratch),
    )  # fmt: skip


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    sums = np.empty((plan.groups * plan.outputs, plan.depth), np.float32)
    _sum_products(
        plan, x.reshape(-1), dy.reshape(-1), sums.reshape(-1), scratch, _each(plan),
        _threads(plan, scratch),
    )  # fmt: skip
    shape = (-1, plan.kernel_h, plan.channels, plan.kernel_w)
    dweight += sums.reshape(shape).transpose(0, 2, 1, 3).reshape(dweight.shape)


def _by_taps(plan: Plan, weight: F32) -> F32:
    """The filters with their numbers in the order of the taps, (r, c, s)."""
    shape = (-1, plan.channels, plan.kernel_h, plan.kernel_w)
    return np.ascontiguousarray(weight.reshape(shape).transpose(0, 2, 1, 3)).reshape(-1)


@kernel
def _forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, each: int, threads: int
) -> None:
    items = plan.images * plan.groups
    few = np.empty(LANES, np.float32)
    for thread in prange(threads):
        image = thread * each
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            unfold(plan, x, item * plan.image, scratch, image)
            for o in range(plan.outputs):
                output = item % plan.groups * plan.outputs + o
                for i in range(plan.out_height):
                    line = image + i * plan.line
                    to = (item * plan.outputs + o) * plan.places + i * plan.out_width
                    for start in range(0, plan.out_width, LANES):
                        if start + LANES <= plan.out_width:
                            sum_taps(
                                plan.depth, scratch, line + start, plan.taps,
                                weight, output * plan.depth, bias[output], y, to + start,
                            )  # fmt: skip
                        else:
                            sum_taps(
                                plan.depth, scratch, line + start, plan.taps,
                                weight, output * plan.depth, bias[output], few, 0,
                            )  # fmt: skip
                            copy_line(plan.out_width - start, few, 0, 1, y, to + start)


@kernel
def _backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, each: int, threads: int
) -> None:
    items = plan.images * plan.groups
    size = plan.outputs * plan.places
    for thread in prange(threads):
        image = thread * each
        gradients = image + plan.unfolded
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            fill_line(plan.unfolded, np.float32(0), scratch, image)
            copy_line(size, dy, item * size, 1, scratch, gradients)
            for o in range(plan.outputs):
                filters = (item % plan.groups * plan.outputs + o) * plan.depth
                for k in range(plan.depth):
                    for i in range(plan.out_height):
                        add_product(
                            plan.out_width, weight[filters + k],
                            scratch, gradients + o * plan.places + i * plan.out_width,
                            scratch, image + plan.taps[k] + i * plan.line,
                        )  # fmt: skip
            fold(plan, scratch, image, dx, item * plan.image)


@kernel
def _sum_products(
    plan: Plan, x: F32, dy: F32, sums: F32, scratch: F32, each: int, threads: int
) -> None:
    size = plan.outputs * plan.places
    for thread in prange(threads):
        image = thread * each
        gradients = image + plan.unfolded
        for group in range(thread * plan.groups // threads, (thread + 1) * plan.groups // threads):
            first = group * plan.outputs * plan.depth
            fill_line(plan.outputs * plan.depth, np.float32(0), sums, first)
            for n in range(plan.images):
                item = n * plan.groups + group
                unfold(plan, x, item * plan.image, scratch, image)
                copy_line(size, dy, item * size, 1, scratch, gradients)
                for o in range(plan.outputs):
                    for k in range(plan.depth):
                        sums[first + o * plan.depth + k] += dot_lines(
                            plan.out_height, plan.out_width,
                            scratch, image + plan.taps[k], plan.line,
                            scratch, gradients + o * plan.places, plan.out_width,
                        )  # fmt: skip
