"""Convolution where a filter has few channels and a group few outputs: depthwise, above all.

Then no number is used often enough to be packed for a matrix product, and what counts is to touch
memory once. A *band* of lines of an image, small enough for the first-level cache, is laid out in
scratch with its margins, the columns of each phase of the stride together; then a block of outputs
at a time (depthwise_taps.py):

* forward sums what all taps see, and so does backward to the images for stride 1, where dx is the
  convolution of dy with the filter turned round;
* for other strides dx falls into phases, each of which is such a convolution with the taps that
  reach it; the phases of a line are interleaved when it is written;
* backward to the weights multiplies each dy with what the taps see, nine of them at a time.

Each is 2 N O P K operations, and reads and writes each number in memory once. Threads share the
bands of all images; for the weights, which sum over images, the groups.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minicaffe.machine.threads import num_threads

from .._compile.jit import inner, kernel
from .._vector.instructions import LANES
from .._vector.lanes import copy_over, fill_lanes, fill_line, weave_line
from .depthwise_taps import TALL, TAPS, WIDE, add_products, fetch, place_lines, sum_tall, sum_wide
from .unfolded import Plan

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
ZERO = np.float32(0)

BAND = 4096  # floats of a band, about: half of a first-level cache of 32 KB


class Bands(NamedTuple):
    """How the planes of an image and group (`item`) are cut into bands, and these laid out."""

    items: int
    groups: int
    channels: int  # planes that are read for an item
    height: int
    width: int
    outputs: int  # planes that are written for an item
    out_height: int
    out_width: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    bands: int
    rows: int  # lines of outputs of a band
    lines: int  # lines that they see
    part: int  # floats of a phase of a line, stride_w of which are a line
    depth: int  # taps, over all channels that are read
    padded: int  # up to a multiple of TAPS


def serves(plan: Plan) -> bool:
    """Whether this file is faster for such a convolution than products of matrices."""
    return plan.groups > 1 and plan.outputs * plan.channels <= 4


def scratch_size(plan: Plan) -> int:
    """Floats of scratch: for each thread what the largest of the three products needs."""
    forward, backward = _forward_bands(plan)[0], _backward_bands(plan)[0]
    return num_threads() * max(_weight_size(forward), _scattered_size(plan, backward))


def _each(bands: Bands) -> int:
    """Floats of a band, with room behind it for the rest of a vector."""
    return bands.channels * bands.lines * bands.stride_w * bands.part + LANES


def _weight_size(bands: Bands) -> int:
    """Floats of a band of x, the same of dy, and the sums."""
    sums = bands.padded * LANES
    return _each(bands) + bands.outputs * (bands.rows * _vectors(bands.out_width) * LANES + sums)


def _scattered_size(plan: Plan, bands: Bands) -> int:
    """Floats of a band of dy, and a block of lines of dx by their phases, with LANES more."""
    return _each(bands) + TALL * plan.stride_w * _vectors(bands.out_width) * LANES + LANES


def _vectors(count: int) -> int:
    return -(-count // LANES)


def _forward_bands(plan: Plan) -> tuple[Bands, I64, I64]:
    return _bands(
        plan.images * plan.groups, plan.groups, plan.channels, plan.height, plan.width,
        plan.outputs, plan.out_height, plan.out_width,
        plan.kernel_h, plan.kernel_w, plan.stride_h, plan.stride_w, plan.pad_h, plan.pad_w,
        plan.dilation_h, plan.dilation_w,
    )  # fmt: skip


def _backward_bands(plan: Plan) -> tuple[Bands, I64, I64]:
    """From dy to dx, or with a stride to a phase of dx: place u, v of it sees dy[u - q_r, v - q_s].

    Here q_r = r * dilation // stride, and dx[h, w] is at (h + pad) // stride of its phase: so the
    first place is pad // stride.
    """
    reach_h = (plan.kernel_h - 1) * plan.dilation_h // plan.stride_h
    reach_w = (plan.kernel_w - 1) * plan.dilation_w // plan.stride_w
    first_h, first_w = plan.pad_h // plan.stride_h, plan.pad_w // plan.stride_w
    return _bands(
        plan.images * plan.groups, plan.groups, plan.outputs, plan.out_height, plan.out_width,
        plan.channels,
        (plan.height - 1 + plan.pad_h) // plan.stride_h + 1 - first_h,
        (plan.width - 1 + plan.pad_w) // plan.stride_w + 1 - first_w,
        reach_h + 1, reach_w + 1, 1, 1, reach_h - first_h, reach_w - first_w, 1, 1,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _bands(
    items: int, groups: int, channels: int, height: int, width: int,
    outputs: int, out_height: int, out_width: int, kernel_h: int, kernel_w: int,
    stride_h: int, stride_w: int, pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
) -> tuple[Bands, I64, I64]:  # fmt: skip
    """The bands; where the taps see in one, with zeros up to a multiple of TAPS; and the range of
    each phase of a line that comes from the image: what is outside of it is margin.
    """
    seen_h, seen_w = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    part = _vectors(out_width) * LANES + max(seen_w - 1, pad_w + stride_w - 1) // stride_w
    rows = max(TALL, BAND // (channels * stride_w * part * stride_h))
    bands = -(-out_height // rows) if out_width >= LANES else 1  # narrow lines overlap when written
    rows = -(-out_height // bands)
    lines = (rows - 1) * stride_h + seen_h
    c, r, s = np.ogrid[:channels, :kernel_h, :kernel_w]
    line, column = c * lines + r * dilation_h, s * dilation_w
    taps = (line * stride_w + column % stride_w) * part + column // stride_w
    table = np.pad(taps.reshape(-1), (0, -taps.size % TAPS))
    sizes = Bands(
        items, groups, channels, height, width, outputs, out_height, out_width,
        stride_h, stride_w, pad_h, pad_w, bands, rows, lines, part, taps.size, table.size,
    )  # fmt: skip
    shifts = np.arange(stride_w)[:, np.newaxis] - pad_w
    inside = np.clip(-((shifts - np.array([0, width])) // stride_w), 0, part)
    return sizes, table, inside


def _threads(scratch: F32, each: int) -> int:
    return min(num_threads(), scratch.size // each)


# ---- the three products


def forward(plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias."""
    bands, taps, inside = _forward_bands(plan)
    each = _each(bands)
    _correlate(
        bands, taps, inside, x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1), scratch, each,
        _threads(scratch, each),
    )  # fmt: skip


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    bands, taps, inside = _backward_bands(plan)
    weight = weight.reshape(plan.groups, plan.outputs, plan.channels, -1).transpose(0, 2, 1, 3)
    if (plan.stride_h, plan.stride_w, plan.dilation_h, plan.dilation_w) == (1, 1, 1, 1):
        each = _each(bands)
        turned = np.ascontiguousarray(weight[..., ::-1]).reshape(-1)
        bias = np.zeros(plan.groups * plan.channels, np.float32)
        _correlate(
            bands, taps, inside, dy.reshape(-1), turned, bias, dx.reshape(-1), scratch, each,
            _threads(scratch, each),
        )  # fmt: skip
    else:
        order, table, first = _phases(
            plan.outputs, plan.kernel_h, plan.kernel_w, plan.stride_h, plan.stride_w,
            plan.dilation_h, plan.dilation_w, bands.lines, bands.part,
        )  # fmt: skip
        each = _scattered_size(plan, bands)
        by_phases = weight.reshape(plan.groups * plan.channels, -1)[:, order].reshape(-1)
        _scatter(
            bands, inside, plan.height, plan.width, (plan.stride_h, plan.stride_w),
            (plan.pad_h, plan.pad_w), order.size, table, first, dy.reshape(-1), by_phases,
            dx.reshape(-1), scratch, each, _threads(scratch, each),
        )  # fmt: skip


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    bands, taps, inside = _forward_bands(plan)
    each = _weight_size(bands)
    _sum_products(
        bands, taps, inside, x.reshape(-1), dy.reshape(-1), dweight.reshape(-1), scratch, each,
        _threads(scratch, each),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _phases(
    outputs: int, kernel_h: int, kernel_w: int, stride_h: int, stride_w: int,
    dilation_h: int, dilation_w: int, lines: int, part: int,
) -> tuple[I64, I64, I64]:  # fmt: skip
    """The taps (o, r, s) by the phase of dx that they reach, where each sees dy in a band, and
    where the taps of each phase begin.
    """
    o, r, s = (axis.reshape(-1) for axis in np.mgrid[:outputs, :kernel_h, :kernel_w])
    h, w = r * dilation_h, s * dilation_w
    reach_h = (kernel_h - 1) * dilation_h // stride_h
    reach_w = (kernel_w - 1) * dilation_w // stride_w
    table = (o * lines + reach_h - h // stride_h) * part + reach_w - w // stride_w
    phase = h % stride_h * stride_w + w % stride_w
    order = np.argsort(phase, kind="stable")
    first = np.searchsorted(phase[order], np.arange(stride_h * stride_w + 1))
    return order, table[order], first


# ---- laying out a band


@inner
def _lay_out(
    bands: Bands, inside: I64, source: F32, s0: int, top: int, target: F32, t0: int
) -> None:
    """Write the lines from `top` on of all channels that are read; margins beside them stay."""
    line = bands.stride_w * bands.part
    first_line = min(max(-top, 0), bands.lines)
    last_line = max(min(bands.height - top, bands.lines), first_line)
    for c in range(bands.channels):
        to = t0 + c * bands.lines * line
        for at in range(0, first_line * line, LANES):
            fill_lanes(ZERO, target, to + at)
        for phase in range(bands.stride_w):
            first, last = inside[phase, 0], inside[phase, 1]
            seen = (c * bands.height + top + first_line) * bands.width + phase - bands.pad_w
            _place(
                last_line - first_line, last - first,
                source, s0 + seen + first * bands.stride_w, bands.width, bands.stride_w,
                target, to + first_line * line + phase * bands.part + first, line,
            )  # fmt: skip
        for at in range(last_line * line, bands.lines * line, LANES):
            fill_lanes(ZERO, target, to + at)


@inner
def _place(
    lines: int, count: int, source: F32, s0: int, s_step: int, stride: int,
    target: F32, t0: int, t_step: int,
) -> None:  # fmt: skip
    """Copy lines of numbers that are `stride` apart."""
    if count >= LANES or s0 + (lines - 1) * s_step + LANES * stride <= source.size:
        place_lines(lines, count, source, s0, s_step, stride, target, t0, t_step)
    else:
        for i in range(lines):
            for j in range(count):
                target[t0 + i * t_step + j] = source[s0 + i * s_step + j * stride]


@inner
def _whole(count: int) -> int:
    """Rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


# ---- the loops


@kernel
def _correlate(
    bands: Bands, taps: I64, inside: I64, x: F32, weight: F32, bias: F32, y: F32,
    scratch: F32, each: int, threads: int,
) -> None:  # fmt: skip
    few = np.empty(TALL * LANES, np.float32)
    tasks = bands.items * bands.bands
    width, depth = bands.out_width, bands.depth
    places = bands.out_height * width
    step = bands.stride_h * bands.stride_w * bands.part
    for thread in prange(threads):
        image = thread * each
        fill_line(each, ZERO, scratch, image)
        end = ((thread + 1) * tasks // threads) // bands.bands * bands.outputs * places
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            item, top = task // bands.bands, task % bands.bands * bands.rows
            start = item * bands.channels * bands.height * bands.width
            _lay_out(bands, inside, x, start, top * bands.stride_h - bands.pad_h, scratch, image)
            for o in range(bands.outputs):
                output = item % bands.groups * bands.outputs + o
                bottom = min(top + bands.rows, bands.out_height)
                to = (item * bands.outputs + o) * places
                if width > LANES:
                    for i in range(top, bottom, WIDE):
                        fetch(
                            bands.stride_h * WIDE * bands.width, x,
                            start + (i + bands.rows) * bands.stride_h * bands.width,
                        )  # fmt: skip
                        for column in range(0, width, 2 * LANES):
                            j = min(column, width - LANES)
                            second = min(column + LANES, width - LANES) - j
                            sum_wide(
                                min(WIDE, bottom - i), second, depth,
                                scratch, image + (i - top) * step + j, step, taps, 0,
                                weight, output * depth, bias[output], y, to + i * width + j, width,
                            )  # fmt: skip
                else:
                    fetch(
                        bands.channels * bands.height * bands.width, x,
                        start + bands.channels * bands.height * bands.width,
                    )  # fmt: skip
                    for i in range(top, bottom, TALL):
                        lines = min(TALL, bottom - i)
                        seen, begin = image + (i - top) * step, to + i * width
                        # What a vector writes behind its line is written again, except at the end.
                        if begin + (lines - 1) * width + LANES <= end:
                            sum_tall(
                                lines, depth, scratch, seen, step, taps, 0,
                                weight, output * depth, bias[output], y, begin, width,
                            )  # fmt: skip
                        else:
                            sum_tall(
                                lines, depth, scratch, seen, step, taps, 0,
                                weight, output * depth, bias[output], few, 0, LANES,
                            )  # fmt: skip
                            for line in range(lines):
                                copy_over(width, few, line * LANES, y, begin + line * width)


@kernel
def _scatter(
    bands: Bands, inside: I64, height: int, width: int, stride: tuple[int, int],
    pad: tuple[int, int], depth: int, table: I64, first: I64, dy: F32, weight: F32, dx: F32,
    scratch: F32, each: int, threads: int,
) -> None:  # fmt: skip
    few = np.empty(2 * LANES, np.float32)
    tasks = bands.items * bands.bands
    line = _whole(bands.out_width)
    for thread in prange(threads):
        image = thread * each
        fill_line(each, ZERO, scratch, image)
        block = (thread + 1) * each - (TALL * stride[1] * line + LANES)
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            item, top = task // bands.bands, task % bands.bands * bands.rows
            start = item * bands.channels * bands.height * bands.width
            _lay_out(bands, inside, dy, start, top - bands.pad_h, scratch, image)
            bottom = min(top + bands.rows, bands.out_height)
            for plane in range(item * bands.outputs, (item + 1) * bands.outputs):
                filters = plane % (bands.groups * bands.outputs) * depth
                for a in range(stride[0]):
                    for u in range(top, bottom, TALL):
                        lines = min(TALL, bottom - u)
                        for b in range(stride[1]):
                            phase = a * stride[1] + b
                            for v in range(0, line, LANES):
                                sum_tall(
                                    lines, first[phase + 1] - first[phase],
                                    scratch, image + (u - top) * bands.part + v, bands.part,
                                    table, first[phase], weight, filters + first[phase], ZERO,
                                    scratch, block + b * line + v, stride[1] * line,
                                )  # fmt: skip
                        for i in range(lines):
                            h = (u + pad[0] // stride[0] + i) * stride[0] + a - pad[0]
                            if 0 <= h < height:
                                weave_line(
                                    few, width, stride[1], pad[1] % stride[1], line,
                                    scratch, block + i * stride[1] * line,
                                    dx, (plane * height + h) * width,
                                )  # fmt: skip


@kernel
def _sum_products(
    bands: Bands,
    taps: I64,
    inside: I64,
    x: F32,
    dy: F32,
    dweight: F32,
    scratch: F32,
    each: int,
    threads: int,
) -> None:
    width, depth, outputs = bands.out_width, bands.depth, bands.outputs
    places = bands.out_height * width
    line, padded = _whole(width), bands.padded
    step = bands.stride_h * bands.stride_w * bands.part
    images = bands.items // bands.groups
    for thread in prange(threads):
        image = thread * each
        fill_line(each, ZERO, scratch, image)
        totals = (thread + 1) * each - outputs * padded * LANES
        gradients = totals - outputs * bands.rows * line
        for group in range(
            thread * bands.groups // threads, (thread + 1) * bands.groups // threads
        ):
            fill_line(outputs * padded * LANES, ZERO, scratch, totals)
            for task in range(images * bands.bands):
                item = task // bands.bands * bands.groups + group
                top = task % bands.bands * bands.rows
                rows = min(bands.rows, bands.out_height - top)
                start = item * bands.channels * bands.height * bands.width
                _lay_out(
                    bands, inside, x, start, top * bands.stride_h - bands.pad_h, scratch, image
                )
                if task + 1 < images * bands.bands:
                    ahead = (task + 1) // bands.bands * bands.groups + group
                    below = (task + 1) % bands.bands * bands.rows * bands.stride_h
                    fetch(
                        bands.rows * bands.stride_h * bands.width, x,
                        (ahead * bands.channels * bands.height + below) * bands.width,
                    )  # fmt: skip
                for o in range(outputs):
                    to = gradients + o * bands.rows * line
                    begin = (item * outputs + o) * places + top * width
                    _place(rows, width, dy, begin, width, 1, scratch, to, line)
                    if task + 1 < images * bands.bands:
                        ahead = (task + 1) // bands.bands * bands.groups + group
                        below = (task + 1) % bands.bands * bands.rows
                        fetch(rows * width, dy, (ahead * outputs + o) * places + below * width)
                    for k in range(0, depth, TAPS):
                        add_products(
                            rows, line // LANES, scratch, image, step, taps, k,
                            scratch, to, line, scratch, totals + (o * padded + k) * LANES,
                        )  # fmt: skip
            for o in range(outputs):
                for k in range(depth):
                    found = ZERO
                    for lane in range(LANES):
                        found += scratch[totals + (o * padded + k) * LANES + lane]
                    dweight[(group * outputs + o) * depth + k] += found
