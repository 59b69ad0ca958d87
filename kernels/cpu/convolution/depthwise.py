"""Convolution where a filter has few channels and a group few outputs: depthwise, above all.

Then no number is used often enough to be packed for a matrix product, and what counts is to touch
memory once. A *band* of lines of an image, small enough for the first-level cache, is laid out in
scratch with its padding, the columns of each phase of the stride together (depthwise_bands.py);
then a block of outputs at a time (depthwise_taps.py):

* forward sums what all taps see, and so does backward to the images for stride 1, where dx is the
  convolution of dy with the filter turned round;
* for other strides dx falls into phases, each of which is such a convolution with the taps that
  reach it; the phases of a line are interleaved when it is written;
* backward to the weights multiplies each dy with what the taps see, nine of them at a time.

Each is 2 N O P K operations, and reads and writes each number in memory once. Threads share the
bands of all images; for the weights, which sum over images, the groups.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, inner, kernel
from .._vector.fetching import fetch
from .._vector.instructions import LANES
from .._vector.lanes import copy_over, fill_line, weave_line
from .._vector.scratch import Need, Scratch, divide, room, whole
from .depthwise_bands import (
    Bands,
    Phases,
    backward_bands,
    band_size,
    forward_bands,
    lay_out,
    phases,
    place,
)
from .depthwise_taps import TALL, TAPS, WIDE, add_products, sum_tall, sum_wide
from .plan import Plan, Sizes

F32 = NDArray[np.float32]
ZERO = np.float32(0)


def serves(sizes: Sizes) -> bool:
    """Whether this file is faster for such a convolution than products of matrices."""
    return sizes.groups > 1 and sizes.outputs * sizes.channels <= 4


def scratch_size(plan: Plan) -> int:
    """Floats of scratch: for each thread what the largest of the three products needs."""
    return room((_weight_need(plan.sizes), _scattered_need(plan.sizes)))


@lru_cache(maxsize=256)
def _weight_need(sizes: Sizes) -> Need:
    """Floats of a band of x, the same of dy, and the sums."""
    bands = forward_bands(sizes)
    sums = bands.padded * LANES
    return 0, band_size(bands) + bands.outputs * (bands.rows * whole(bands.out_width, LANES) + sums)


@lru_cache(maxsize=256)
def _scattered_need(sizes: Sizes) -> Need:
    """Floats of a band of dy, and a block of lines of dx by their phases, with LANES more."""
    bands = backward_bands(sizes)
    block = TALL * sizes.stride_w * whole(bands.out_width, LANES) + LANES
    return 0, band_size(bands) + block


# ---- the three products


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    bands = forward_bands(plan.sizes)
    work = divide(scratch, (0, band_size(bands)))
    _correlate(bands, x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1), work)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx."""
    sizes = plan.sizes
    bands = backward_bands(sizes)
    weight = weight.reshape(sizes.groups, sizes.outputs, sizes.channels, -1).transpose(0, 2, 1, 3)
    if (sizes.stride_h, sizes.stride_w, sizes.dilation_h, sizes.dilation_w) == (1, 1, 1, 1):
        turned = np.ascontiguousarray(weight[..., ::-1]).reshape(-1)
        bias = np.zeros(sizes.groups * sizes.channels, np.float32)
        work = divide(scratch, (0, band_size(bands)))
        _correlate(bands, dy.reshape(-1), turned, bias, dx.reshape(-1), work)
    else:
        of_dx, order = phases(sizes)
        by_phases = weight.reshape(sizes.groups * sizes.channels, -1)[:, order].reshape(-1)
        work = divide(scratch, _scattered_need(sizes))
        _scatter(bands, of_dx, dy.reshape(-1), by_phases, dx.reshape(-1), work)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    bands = forward_bands(plan.sizes)
    work = divide(scratch, _weight_need(plan.sizes))
    _sum_products(bands, x.reshape(-1), dy.reshape(-1), dweight.reshape(-1), work)


# ---- the loops


@inner
def _whole(count: int) -> int:
    """Rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@kernel
def _correlate(bands: Bands, x: F32, weight: F32, bias: F32, y: F32, work: Scratch) -> None:
    """A task is a band: the lines of it that are written, for all outputs of its group."""
    memory, few = work.floats, np.empty(TALL * LANES, np.float32)
    tasks = bands.items * bands.bands
    pixels = bands.out_height * bands.out_width
    for thread in prange(work.threads):
        image = work.shared + thread * work.each
        fill_line(work.each, ZERO, memory, image)
        begin, after = thread * tasks // work.threads, (thread + 1) * tasks // work.threads
        end = after // bands.bands * bands.outputs * pixels
        for task in range(begin, after):
            item, top = task // bands.bands, task % bands.bands * bands.rows
            start = item * bands.channels * bands.height * bands.width
            lay_out(bands, x, start, top * bands.stride_h - bands.pad_h, memory, image)
            for o in range(bands.outputs):
                output = item % bands.groups * bands.outputs + o
                to = (item * bands.outputs + o) * pixels
                if bands.out_width > LANES:
                    _sum_wide_lines(
                        bands, x, start, top, memory, image, weight, output, bias[output], y, to
                    )
                else:
                    _sum_narrow_lines(
                        bands, x, start, top, memory, image, weight, output, bias[output], y, to,
                        end, few,
                    )  # fmt: skip


@inlined
def _sum_wide_lines(
    bands: Bands, x: F32, start: int, top: int, memory: F32, image: int,
    weight: F32, output: int, bias: np.float32, y: F32, to: int,
) -> None:  # fmt: skip
    """Lines of more than a vector of outputs: WIDE lines by two vectors at a time.

    Eleven arguments: it is a part of `_correlate`, pasted into it.
    """
    width, step = bands.out_width, bands.stride_h * bands.stride_w * bands.part
    bottom = min(top + bands.rows, bands.out_height)
    for i in range(top, bottom, WIDE):
        fetch(
            bands.stride_h * WIDE * bands.width, x,
            start + (i + bands.rows) * bands.stride_h * bands.width,
        )  # fmt: skip
        for column in range(0, width, 2 * LANES):
            j = min(column, width - LANES)
            second = min(column + LANES, width - LANES) - j
            sum_wide(
                min(WIDE, bottom - i), second, bands.depth,
                memory, image + (i - top) * step + j, step, bands.taps, 0,
                weight, output * bands.depth, bias, y, to + i * width + j, width,
            )  # fmt: skip


@inlined
def _sum_narrow_lines(
    bands: Bands, x: F32, start: int, top: int, memory: F32, image: int,
    weight: F32, output: int, bias: np.float32, y: F32, to: int, end: int, few: F32,
) -> None:  # fmt: skip
    """Lines of at most a vector of outputs: TALL lines at a time; y is written up to `end`.

    Thirteen arguments: it is a part of `_correlate`, pasted into it.
    """
    width, step = bands.out_width, bands.stride_h * bands.stride_w * bands.part
    bottom = min(top + bands.rows, bands.out_height)
    plane = bands.channels * bands.height * bands.width
    fetch(plane, x, start + plane)
    for i in range(top, bottom, TALL):
        lines = min(TALL, bottom - i)
        seen, begin = image + (i - top) * step, to + i * width
        # What a vector writes after its line is written again, except at the end.
        if begin + (lines - 1) * width + LANES <= end:
            sum_tall(
                lines, bands.depth, memory, seen, step, bands.taps, 0,
                weight, output * bands.depth, bias, y, begin, width,
            )  # fmt: skip
        else:
            sum_tall(
                lines, bands.depth, memory, seen, step, bands.taps, 0,
                weight, output * bands.depth, bias, few, 0, LANES,
            )  # fmt: skip
            for line in range(lines):
                copy_over(width, few, line * LANES, y, begin + line * width)


@kernel
def _scatter(bands: Bands, of_dx: Phases, dy: F32, weight: F32, dx: F32, work: Scratch) -> None:
    """A task is a band of dy: the lines of dx that it reaches, phase by phase."""
    memory, few = work.floats, np.empty(2 * LANES, np.float32)
    tasks = bands.items * bands.bands
    stride_h, stride_w, width = of_dx.stride_h, of_dx.stride_w, of_dx.width
    first, depth = of_dx.first, of_dx.depth
    line = _whole(bands.out_width)
    for thread in prange(work.threads):
        image = work.shared + thread * work.each
        block = image + band_size(bands)
        fill_line(work.each, ZERO, memory, image)
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            item, top = task // bands.bands, task % bands.bands * bands.rows
            start = item * bands.channels * bands.height * bands.width
            lay_out(bands, dy, start, top - bands.pad_h, memory, image)
            bottom = min(top + bands.rows, bands.out_height)
            for plane in range(item * bands.outputs, (item + 1) * bands.outputs):
                filters = plane % (bands.groups * bands.outputs) * depth
                for a in range(stride_h):
                    for u in range(top, bottom, TALL):
                        lines = min(TALL, bottom - u)
                        for b in range(stride_w):
                            phase = a * stride_w + b
                            for v in range(0, line, LANES):
                                sum_tall(
                                    lines, first[phase + 1] - first[phase],
                                    memory, image + (u - top) * bands.part + v, bands.part,
                                    of_dx.taps, first[phase],
                                    weight, filters + first[phase], ZERO,
                                    memory, block + b * line + v, stride_w * line,
                                )  # fmt: skip
                        for i in range(lines):
                            h = (u + of_dx.pad_h // stride_h + i) * stride_h + a - of_dx.pad_h
                            if 0 <= h < of_dx.height:
                                weave_line(
                                    few, width, stride_w, of_dx.pad_w % stride_w, line,
                                    memory, block + i * stride_w * line,
                                    dx, (plane * of_dx.height + h) * width,
                                )  # fmt: skip


@kernel
def _sum_products(bands: Bands, x: F32, dy: F32, dweight: F32, work: Scratch) -> None:
    """A task is a group: the sums of all its images, band by band."""
    memory = work.floats
    depth, outputs = bands.depth, bands.outputs
    line, padded = _whole(bands.out_width), bands.padded
    tasks = bands.items // bands.groups * bands.bands  # of a group
    for thread in prange(work.threads):
        image = work.shared + thread * work.each
        gradients = image + band_size(bands)
        totals = gradients + outputs * bands.rows * line
        fill_line(work.each, ZERO, memory, image)
        begin = thread * bands.groups // work.threads
        for group in range(begin, (thread + 1) * bands.groups // work.threads):
            fill_line(outputs * padded * LANES, ZERO, memory, totals)
            for task in range(tasks):
                _add_band(bands, x, dy, group, task, tasks, memory, image, gradients, totals)
            for o in range(outputs):
                for k in range(depth):
                    found = ZERO
                    for lane in range(LANES):
                        found += memory[totals + (o * padded + k) * LANES + lane]
                    dweight[(group * outputs + o) * depth + k] += found


@inlined
def _add_band(
    bands: Bands, x: F32, dy: F32, group: int, task: int, tasks: int,
    memory: F32, image: int, gradients: int, totals: int,
) -> None:  # fmt: skip
    """Add the products of a band of x and of dy; the next band is fetched meanwhile."""
    width, outputs = bands.out_width, bands.outputs
    pixels, line = bands.out_height * width, _whole(width)
    step = bands.stride_h * bands.stride_w * bands.part
    item = task // bands.bands * bands.groups + group
    top = task % bands.bands * bands.rows
    rows = min(bands.rows, bands.out_height - top)
    start = item * bands.channels * bands.height * bands.width
    lay_out(bands, x, start, top * bands.stride_h - bands.pad_h, memory, image)
    ahead = (task + 1) // bands.bands * bands.groups + group
    below = (task + 1) % bands.bands * bands.rows
    if task + 1 < tasks:
        fetch(
            bands.rows * bands.stride_h * bands.width, x,
            (ahead * bands.channels * bands.height + below * bands.stride_h) * bands.width,
        )  # fmt: skip
    for o in range(outputs):
        to = gradients + o * bands.rows * line
        place(
            rows, width, dy, (item * outputs + o) * pixels + top * width, width, 1,
            memory, to, line,
        )  # fmt: skip
        if task + 1 < tasks:
            fetch(rows * width, dy, (ahead * outputs + o) * pixels + below * width)
        for k in range(0, bands.depth, TAPS):
            add_products(
                rows, line // LANES, memory, image, step, bands.taps, k,
                memory, to, line, memory, totals + (o * bands.padded + k) * LANES,
            )  # fmt: skip
