"""Where the numbers of the three products lie: every address is a sum of two.

A convolution has images, filters and outputs. A tap is a channel and a place of the filter, a place
is an image and a pixel of the output. What a tap sees at a place is

    image[tap's offset + place's offset]    if tap's position + place's position is inside

along each axis, and the same holds of what flows back to a pixel through a tap: an output, at a
distance that depends on the tap alone, once pixels are sorted by what they are modulo the stride.
So each function here writes a row (own, other, *position) for one tap, place or pixel: its offset
in the array that it alone determines, its offset in the array that is sampled, its position there.

The functions are made for a number of axes; loops over them are unrolled.
"""

from functools import cache
from typing import Any

from .._compile.jit import inner

# What all functions are told, `how`: extents along the axes, and numbers of a group
SPATIAL, OUT, KERNEL, STRIDE, PAD, DILATION, HOP, CHANNELS, OUTPUTS, GROUPS = range(10)
OWN, OTHER, POSITION = 0, 1, 2  # of a row
FIRST, COUNT, BEGIN, PIXELS, REST = 0, 1, 2, 3, 4  # of an axis of a phase


@cache
def taps(axes: int) -> Any:
    """A writer of the rows of taps."""

    @inner
    def write_tap(k: int, row: Any, how: Any, phase: Any) -> None:
        """Tap k: (place in the filters, offset in the images, *distance)."""
        spatial, kernel, dilation = how[SPATIAL], how[KERNEL], how[DILATION]
        row[OWN] = k
        rest, at, step = k, 0, 1
        for axis in range(axes - 1, -1, -1):
            distance = dilation[axis] * (rest % kernel[axis])
            rest = rest // kernel[axis]
            row[POSITION + axis] = distance
            at += step * distance
            step *= spatial[axis]
        row[OTHER] = at + rest * step

    return write_tap


@cache
def places(axes: int) -> Any:
    """A writer of the rows of places."""

    @inner
    def write_place(k: int, row: Any, how: Any, phase: Any) -> None:
        """Place k of all images: (place in the outputs, offset in the images, *position)."""
        spatial, out, stride, pad = how[SPATIAL], how[OUT], how[STRIDE], how[PAD]
        channels, outputs, groups = how[CHANNELS], how[OUTPUTS], how[GROUPS]
        rest, at, step, pixels = k, 0, 1, 1
        for axis in range(axes - 1, -1, -1):
            position = stride[axis] * (rest % out[axis]) - pad[axis]
            rest = rest // out[axis]
            row[POSITION + axis] = position
            at += step * position
            step *= spatial[axis]
            pixels *= out[axis]
        row[OTHER] = at + rest * groups * channels * step
        row[OWN] = k + rest * (groups * outputs - 1) * pixels

    return write_place


@cache
def phases(axes: int) -> Any:
    """A writer of what a phase is along one axis; the two below read it."""

    @inner
    def write_phase(axis: int, number: int, row: Any, how: Any) -> None:
        """Of pixels that are `number` modulo the stride, with the pad: their first tap and how many
        there are; their first multiple of the stride, and how many pixels there are."""
        spatial, kernel, stride, pad, dilation, hop = (
            how[SPATIAL],
            how[KERNEL],
            how[STRIDE],
            how[PAD],
            how[DILATION],
            how[HOP],
        )
        first = 0
        while first < hop[axis] and dilation[axis] * first % stride[axis] != number:
            first += 1
        is_seen = first < hop[axis] and first < kernel[axis]
        begin = (pad[axis] + stride[axis] - 1 - number) // stride[axis]
        end = (spatial[axis] + pad[axis] + stride[axis] - 1 - number) // stride[axis]
        row[FIRST] = first
        row[COUNT] = (kernel[axis] - 1 - first) // hop[axis] + 1 if is_seen else 0
        row[BEGIN] = begin
        row[PIXELS] = end - begin
        row[REST] = number

    return write_phase


@cache
def taps_of_phase(axes: int) -> Any:
    """A writer of the rows of the taps that reach a phase."""

    @inner
    def write_tap(k: int, row: Any, how: Any, phase: Any) -> None:
        """Tap k of a phase: (place in the filters, offset in the outputs, *distance)."""
        out, kernel, stride, dilation, hop = (
            how[OUT],
            how[KERNEL],
            how[STRIDE],
            how[DILATION],
            how[HOP],
        )
        channels = how[CHANNELS]
        rest, at, step, own, size = k, 0, 1, 0, 1
        for axis in range(axes - 1, -1, -1):
            count = phase[axis, COUNT]
            tap = phase[axis, FIRST] + hop[axis] * (rest % count)
            rest = rest // count
            distance = (phase[axis, REST] - dilation[axis] * tap) // stride[axis]
            row[POSITION + axis] = distance
            at += step * distance
            step *= out[axis]
            own += size * tap
            size *= kernel[axis]
        row[OTHER] = at + rest * step
        row[OWN] = own + rest * channels * size

    return write_tap


@cache
def pixels_of_phase(axes: int) -> Any:
    """A writer of the rows of its pixels."""

    @inner
    def write_pixel(k: int, row: Any, how: Any, phase: Any) -> None:
        """Pixel k of a phase, of all images: (its place, offset in the outputs, *position)."""
        spatial, out, stride, pad = how[SPATIAL], how[OUT], how[STRIDE], how[PAD]
        channels, outputs, groups = how[CHANNELS], how[OUTPUTS], how[GROUPS]
        rest, at, step, own, size = k, 0, 1, 0, 1
        for axis in range(axes - 1, -1, -1):
            count = phase[axis, PIXELS]
            position = phase[axis, BEGIN] + rest % count
            rest = rest // count
            row[POSITION + axis] = position
            at += step * position
            step *= out[axis]
            own += size * (stride[axis] * position + phase[axis, REST] - pad[axis])
            size *= spatial[axis]
        row[OTHER] = at + rest * groups * outputs * step
        row[OWN] = own + rest * groups * channels * size

    return write_pixel
