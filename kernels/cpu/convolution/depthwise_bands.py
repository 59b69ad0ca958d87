"""Bands of lines of images, laid out with their padding for depthwise.py.

A band is a few lines of all channels of a group, small enough for the first-level cache: as many
lines as its outputs see. The columns of each phase of the stride are together, so that what a tap
sees along a line is contiguous. Lines above and below the image are zeros, and so is what is left
and right of it. Laying out reads each number of an image once, and again where bands overlap.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._compile.jit import inner, jitable
from .._vector.instructions import LANES
from .._vector.lanes import fill_lanes
from .._vector.scratch import whole
from .depthwise_taps import TALL, TAPS, place_lines
from .plan import Sizes

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
    taps: I64  # (padded): where they see in a band, and zeros
    inside: I64  # (stride_w, 2): the range of each phase of a line that comes from the image


class Phases(NamedTuple):
    """dx by the phases of the stride, and which taps reach each of them."""

    height: int
    width: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    depth: int  # taps (o, r, s)
    taps: I64  # (depth): where they see dy in a band, ordered by phase
    first: I64  # (phases + 1): where those of a phase begin


@lru_cache(maxsize=256)
def forward_bands(sizes: Sizes) -> Bands:
    """Bands of x, from which y is summed."""
    return _bands(sizes)


@lru_cache(maxsize=256)
def backward_bands(sizes: Sizes) -> Bands:
    """From dy to dx, or with a stride to a phase of dx: pixel (u, v) sees dy[u - q_r, v - q_s].

    Here q_r = r * dilation // stride, and dx[h, w] is at (h + pad) // stride of its phase: so the
    first pixel is pad // stride.
    """
    reach_h = (sizes.kernel_h - 1) * sizes.dilation_h // sizes.stride_h
    reach_w = (sizes.kernel_w - 1) * sizes.dilation_w // sizes.stride_w
    first_h, first_w = sizes.pad_h // sizes.stride_h, sizes.pad_w // sizes.stride_w
    back = sizes._replace(
        channels=sizes.outputs, outputs=sizes.channels,
        height=sizes.out_height, width=sizes.out_width,
        out_height=(sizes.height - 1 + sizes.pad_h) // sizes.stride_h + 1 - first_h,
        out_width=(sizes.width - 1 + sizes.pad_w) // sizes.stride_w + 1 - first_w,
        kernel_h=reach_h + 1, kernel_w=reach_w + 1, stride_h=1, stride_w=1,
        pad_h=reach_h - first_h, pad_w=reach_w - first_w, dilation_h=1, dilation_w=1,
    )  # fmt: skip
    return _bands(back)


def _bands(s: Sizes) -> Bands:
    seen_h = (s.kernel_h - 1) * s.dilation_h + 1
    seen_w = (s.kernel_w - 1) * s.dilation_w + 1
    beside = max(seen_w - 1, s.pad_w + s.stride_w - 1) // s.stride_w
    part = whole(s.out_width, LANES) + beside
    rows = max(TALL, BAND // (s.channels * s.stride_w * part * s.stride_h))
    # Narrow lines overlap when they are written: one band.
    bands = -(-s.out_height // rows) if s.out_width >= LANES else 1
    rows = -(-s.out_height // bands)
    lines = (rows - 1) * s.stride_h + seen_h
    channel, r, q = np.ogrid[: s.channels, : s.kernel_h, : s.kernel_w]
    line, column = channel * lines + r * s.dilation_h, q * s.dilation_w
    taps = (line * s.stride_w + column % s.stride_w) * part + column // s.stride_w
    padded = np.pad(taps.reshape(-1), (0, -taps.size % TAPS))
    shifts = np.arange(s.stride_w)[:, np.newaxis] - s.pad_w
    inside = np.clip(-((shifts - np.array([0, s.width])) // s.stride_w), 0, part)
    return Bands(
        s.images * s.groups, s.groups, s.channels, s.height, s.width,
        s.outputs, s.out_height, s.out_width, s.stride_h, s.stride_w, s.pad_h, s.pad_w,
        bands, rows, lines, part, taps.size, padded.size, padded, inside,
    )  # fmt: skip


@lru_cache(maxsize=256)
def phases(sizes: Sizes) -> tuple[Phases, I64]:
    """The phases of dx, and the order of the taps (o, r, s) by the phase that they reach."""
    bands = backward_bands(sizes)
    stride_h, stride_w = sizes.stride_h, sizes.stride_w
    every = np.mgrid[: sizes.outputs, : sizes.kernel_h, : sizes.kernel_w]
    o, r, s = (axis.reshape(-1) for axis in every)
    h, w = r * sizes.dilation_h, s * sizes.dilation_w
    reach_h = (sizes.kernel_h - 1) * sizes.dilation_h // stride_h
    reach_w = (sizes.kernel_w - 1) * sizes.dilation_w // stride_w
    taps = (o * bands.lines + reach_h - h // stride_h) * bands.part + reach_w - w // stride_w
    phase = h % stride_h * stride_w + w % stride_w
    order = np.argsort(phase, kind="stable")
    first = np.searchsorted(phase[order], np.arange(stride_h * stride_w + 1))
    found = Phases(
        sizes.height, sizes.width, stride_h, stride_w, sizes.pad_h, sizes.pad_w,
        order.size, taps[order], first,
    )  # fmt: skip
    return found, order


@jitable
def band_size(bands: Bands) -> int:
    """Floats of a band, with room after it for the rest of a vector."""
    return bands.channels * bands.lines * bands.stride_w * bands.part + LANES


@inner
def lay_out(bands: Bands, source: F32, s0: int, top: int, target: F32, t0: int) -> None:
    """Write the lines from `top` on of all channels that are read; zeros beside them stay."""
    line = bands.stride_w * bands.part
    first_line = min(max(-top, 0), bands.lines)
    last_line = max(min(bands.height - top, bands.lines), first_line)
    for c in range(bands.channels):
        to = t0 + c * bands.lines * line
        for at in range(0, first_line * line, LANES):
            fill_lanes(ZERO, target, to + at)
        for phase in range(bands.stride_w):
            first, last = bands.inside[phase, 0], bands.inside[phase, 1]
            seen = (c * bands.height + top + first_line) * bands.width + phase - bands.pad_w
            place(
                last_line - first_line, last - first,
                source, s0 + seen + first * bands.stride_w, bands.width, bands.stride_w,
                target, to + first_line * line + phase * bands.part + first, line,
            )  # fmt: skip
        for at in range(last_line * line, bands.lines * line, LANES):
            fill_lanes(ZERO, target, to + at)


@inner
def place(
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
