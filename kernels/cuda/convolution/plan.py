"""How the products of a convolution are cut into tiles, from its shapes alone.

The choice knows nothing of the GPU, so that a net gives the same bits on each.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from .._parts import parts_for
from .._tiles import FLAT, LARGE, MIDDLE, Tile, tile_for

Extents = tuple[int, ...]
Window = tuple[Extents, Extents, Extents, Extents]  # kernel, stride, pad, dilation


@dataclass(frozen=True)
class Plan:
    """A convolution of images (N, C, *spatial) with outputs (N, O, *out)."""

    x_shape: Extents
    y_shape: Extents
    window: Window
    groups: int

    @property
    def images(self) -> int:
        """N"""
        return self.x_shape[0]

    @property
    def channels(self) -> int:
        """Channels of a group."""
        return self.x_shape[1] // self.groups

    @property
    def outputs(self) -> int:
        """Outputs of a group."""
        return self.y_shape[1] // self.groups

    @property
    def depthwise(self) -> bool:
        """Whether each output sees a single channel, so that a product of matrices has one row."""
        return self.channels == 1 and self.groups > 1

    @cached_property
    def taps(self) -> int:
        """Places of a filter."""
        return math.prod(self.window[0])

    @cached_property
    def pixels(self) -> int:
        """Of an image's channel."""
        return math.prod(self.x_shape[2:])

    @cached_property
    def places(self) -> int:
        """Pixels of an output."""
        return math.prod(self.y_shape[2:])

    @cached_property
    def hop(self) -> Extents:
        """Along each axis, how far taps are apart that lead from a pixel to an output."""
        _, stride, _, dilation = self.window
        return tuple(s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True))

    @cached_property
    def phases(self) -> int:
        """Kinds of pixels, by what they are modulo the stride: taps lead from each to others."""
        return math.prod(self.window[1])

    @cached_property
    def pixels_of_phase(self) -> int:
        """Pixels of a channel that are of one kind, at most."""
        sides = zip(self.x_shape[2:], self.window[1], strict=True)
        return math.prod(-(-side // stride) for side, stride in sides)

    @cached_property
    def forward_tile(self) -> Tile:
        """Of y (O / G, N P)."""
        return tile_for(self.outputs, self.images * self.places, self.groups)

    @cached_property
    def data_tile(self) -> Tile:
        """Of the pixels of a kind (C / G, N pixels)."""
        columns = self.images * self.pixels_of_phase
        return tile_for(self.channels, columns, self.groups * self.phases)

    @cached_property
    def weight_tile(self) -> Tile:
        """Of the filters (O / G, C / G taps), with depth to spare."""
        rows, columns = self.outputs, self.channels * self.taps
        return LARGE if min(rows, columns) > 64 else FLAT if rows <= FLAT.rows else MIDDLE

    @cached_property
    def parts(self) -> int:
        """Into how many parts the sums over images and pixels are cut for the filters' gradient."""
        down, right = self.weight_tile.cover(self.outputs, self.channels * self.taps)
        return parts_for(down * right * self.groups, self.images * self.places)
