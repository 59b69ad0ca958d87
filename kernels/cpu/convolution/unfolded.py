"""Images laid out so that what a tap of a filter sees along a line is contiguous.

An image is *unfolded* by giving it its padding and, where a stride is larger than 1, by laying its
phases apart: with stride 2, lines 0, 2, 4 ... form one plane and lines 1, 3, 5 ... another, and so
do the columns; planes that no tap sees are left out. Pixel (i, j) of the output then sees, through
tap (r, s) in channel c, the value

    unfolded[taps[k] + i * line + j],        k = (r, c, s)

so that row k of the columns `col` (K, P) of im2col is the unfolded image itself, from an offset on.
The rows r of the kernel come first in K, because taps that see nothing but padding can be left out:
for given lines of the output the others are a contiguous range of k, and for given k the lines that
see something are a contiguous range. Unfolding reads and writes each number of an image once.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._compile.jit import inlined, inner
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import collect_lanes, copy_line, fill_lanes, fill_line
from .._vector.scratch import CACHE_LINE
from ..gemm.micro_kernel import COLUMNS
from ..im2col import places_inside
from .plan import Sizes

BLOCK = 8 * COLUMNS  # pixels that convolution works on at a time
PITCH = BLOCK + CACHE_LINE  # floats of a row: an odd number of cache lines, so that a column of
# rows is spread over all sets of the first-level cache, and room for what a vector has beyond

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
ZERO = np.float32(0)


class Unfolding(NamedTuple):
    """How the images of a convolution are unfolded, and where its taps and pixels are in that."""

    needed: bool  # whether the unfolded image differs from the image
    phases_h: int  # of stride_h, those that a tap sees
    phases_w: int
    lines: int  # lines of a plane
    line: int  # floats of a line
    floats: int  # of all planes, and LANES more, which a vector at the end may reach
    taps: I64  # (K, and zeros up to a multiple of ROWS): where rows (r, c, s) of col begin
    taps_by_channel: I64  # (K): where they begin in the order (r, s, c)
    # a row of col, BLOCK pixels at a time: block b has the runs from first_run[b] to [b + 1]
    first_run: I64
    run_from: I64  # where a run is in the unfolded image, for a tap at 0
    run_pixel: I64  # which pixel of the output it begins with
    run_count: I64  # of how many pixels it is


@lru_cache(maxsize=256)
def unfolding(sizes: Sizes) -> Unfolding:
    """How the images of a convolution are unfolded."""
    stride_h, stride_w = sizes.stride_h, sizes.stride_w
    phases_h = min(stride_h, sizes.dilation_h * (sizes.kernel_h - 1) + 1)
    phases_w = min(stride_w, sizes.dilation_w * (sizes.kernel_w - 1) + 1)
    lines = -(-(sizes.height + 2 * sizes.pad_h) // stride_h)
    line = -(-(sizes.width + 2 * sizes.pad_w) // stride_w)
    r, c, s = np.ogrid[: sizes.kernel_h, : sizes.channels, : sizes.kernel_w]
    r, s = r * sizes.dilation_h, s * sizes.dilation_w
    plane = (c * phases_h + r % stride_h) * phases_w + s % stride_w
    taps = (plane * lines + r // stride_h) * line + s // stride_w
    return Unfolding(
        (stride_h, stride_w, sizes.pad_h, sizes.pad_w) != (1, 1, 0, 0),
        phases_h, phases_w, lines, line,
        sizes.channels * phases_h * phases_w * lines * line + LANES,
        np.pad(taps.reshape(-1), (0, -taps.size % ROWS)),
        taps.transpose(0, 2, 1).reshape(-1).copy(),
        *_runs(sizes.out_height, sizes.out_width, line),
    )  # fmt: skip


def _runs(out_height: int, out_width: int, line: int) -> tuple[I64, I64, I64, I64]:
    """The pieces of lines of the unfolded image that a row of col is put together from."""
    if line == out_width:  # lines follow each other without a gap: all is one line
        out_height, out_width = 1, out_height * out_width
    first: list[int] = [0]
    runs: list[tuple[int, int, int]] = []
    for block in range(0, out_height * out_width, BLOCK):
        pixel = block
        end = min(block + BLOCK, out_height * out_width)
        while pixel < end:
            i, j = divmod(pixel, out_width)
            count = min(out_width - j, end - pixel)
            runs.append((i * line + j, pixel, count))
            pixel += count
        first.append(len(runs))
    source, pixels, counts = np.array(runs, np.int64).reshape(-1, 3).T
    return np.array(first, np.int64), source.copy(), pixels.copy(), counts.copy()


@inner
def unfold(sizes: Sizes, u: Unfolding, x: F32, x0: int, out: F32, out0: int) -> None:
    """Write the unfolded image.

    In whole vectors: what one has beyond the end of its piece is overwritten by the next piece.
    """
    to = out0
    for plane in range(sizes.channels * u.phases_h * u.phases_w):
        h, shift, channel = _phase(sizes, u, plane)
        inside = places_inside(shift, sizes.stride_w, sizes.width, u.line)
        for _ in range(u.lines):
            first, last = inside if 0 <= h < sizes.height else (u.line, u.line)
            for at in range(0, first, LANES):
                fill_lanes(ZERO, out, to + at)
            source = x0 + channel + h * sizes.width + shift
            if source + (last + LANES) * sizes.stride_w <= x.size:
                for at in range(first, last, LANES):
                    from_ = source + at * sizes.stride_w
                    collect_lanes(x, from_, sizes.stride_w, out, to + at)
            else:
                from_ = source + first * sizes.stride_w
                copy_line(last - first, x, from_, sizes.stride_w, out, to + first)
            for at in range(last, u.line, LANES):
                fill_lanes(ZERO, out, to + at)
            to += u.line
            h += sizes.stride_h


@inner
def fold(sizes: Sizes, u: Unfolding, unfolded: F32, start: int, x: F32, x0: int) -> None:
    """Write the image of which this is the unfolded one."""
    if u.phases_h < sizes.stride_h or u.phases_w < sizes.stride_w:
        fill_line(sizes.image, ZERO, x, x0)
    source = start
    for plane in range(sizes.channels * u.phases_h * u.phases_w):
        h, shift, channel = _phase(sizes, u, plane)
        first, last = places_inside(shift, sizes.stride_w, sizes.width, u.line)
        for _ in range(u.lines):
            if 0 <= h < sizes.height:
                to = x0 + channel + h * sizes.width + shift
                if sizes.stride_w == 1:
                    copy_line(last - first, unfolded, source + first, 1, x, to + first)
                else:
                    for j in range(first, last):
                        x[to + j * sizes.stride_w] = unfolded[source + j]
            source += u.line
            h += sizes.stride_h


@inlined
def _phase(sizes: Sizes, u: Unfolding, plane: int) -> tuple[int, int, int]:
    """The first line and column of the image that a plane has, and where its channel begins."""
    h = plane // u.phases_w % u.phases_h - sizes.pad_h
    w = plane % u.phases_w - sizes.pad_w
    return h, w, plane // (u.phases_h * u.phases_w) * sizes.height * sizes.width


@inner
def taps_that_see(sizes: Sizes, begin: int, end: int) -> tuple[int, int]:
    """The range of k whose taps see more than padding from pixels [begin, end)."""
    first_line, last_line = begin // sizes.out_width, (end - 1) // sizes.out_width
    first = (sizes.pad_h - last_line * sizes.stride_h + sizes.dilation_h - 1) // sizes.dilation_h
    last = (sizes.height - 1 + sizes.pad_h - first_line * sizes.stride_h) // sizes.dilation_h
    row = sizes.channels * sizes.kernel_w
    return max(first, 0) * row, min(last + 1, sizes.kernel_h) * row


@inner
def lines_that_see(sizes: Sizes, first_k: int, last_k: int) -> tuple[int, int]:
    """The range of lines from which taps [first, last] see more than padding."""
    row = sizes.channels * sizes.kernel_w
    top = sizes.pad_h - last_k // row * sizes.dilation_h
    bottom = sizes.height - 1 + sizes.pad_h - first_k // row * sizes.dilation_h
    first = (top + sizes.stride_h - 1) // sizes.stride_h
    return max(first, 0), min(bottom // sizes.stride_h + 1, sizes.out_height)


@inner
def filter_at(sizes: Sizes, group: int, output: int, r: int, c: int, s: int) -> int:
    """Where in the weight (O, C, kernel_h, kernel_w) of a group a number is."""
    line = ((group * sizes.outputs + output) * sizes.channels + c) * sizes.kernel_h + r
    return line * sizes.kernel_w + s
