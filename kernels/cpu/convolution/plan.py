"""A convolution whose shapes are known: its sizes, and the way that each of its products takes.

A layer asks for a plan when it is reshaped (`plan` in __init__.py), and hands it to the kernels at
every call. Compiled code gets only the `Sizes` of it, which are numbers; Python keeps the rest.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from ..im2col import Extents
from .winograd.transforms import FILTERINGS

FORWARD, DATA, WEIGHT = range(3)  # the products: y; the gradient of the images; of the filters
PRODUCTS = ("forward", "backward to the images", "backward to the weights")

Window = tuple[Extents, Extents, Extents, Extents]  # kernel, stride, pad, dilation


class Sizes(NamedTuple):
    """The sizes of a convolution of planes; channels, outputs, depth and image are a group's."""

    images: int
    groups: int
    channels: int
    outputs: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    depth: int  # K = channels * kernel_h * kernel_w
    pixels: int  # P = out_height * out_width
    image: int  # floats of the image


class Way(NamedTuple):
    """How a product is done: the file of this folder that does it, and which tiles it cuts."""

    file: str
    filtering: int = -1  # which of Winograd's FILTERINGS; -1 for none

    def __str__(self) -> str:
        """As in: winograd/lines 4 x 4, by the outputs of a tile."""
        if self.filtering < 0:
            return self.file
        m = FILTERINGS[self.filtering].m
        return f"{self.file} {m} x {m}"


@dataclass(frozen=True)
class Plan:
    """A convolution of images (N, C, *spatial) with outputs (N, O, *out), and its three ways."""

    x_shape: Extents
    y_shape: Extents
    window: Window
    groups: int
    ways: tuple[Way, Way, Way]  # of FORWARD, DATA and WEIGHT

    @cached_property
    def sizes(self) -> Sizes:
        """The numbers for compiled code, where there are at most two spatial axes."""
        return sizes_of(self.x_shape, self.y_shape, self.window, self.groups)

    def __str__(self) -> str:
        """A line for people: the shapes, and which way each product goes."""
        shapes = f"{' x '.join(map(str, self.x_shape))} -> {' x '.join(map(str, self.y_shape))}"
        return f"{shapes}: " + ", ".join(
            f"{product}: {way}" for product, way in zip(PRODUCTS, self.ways, strict=True)
        )


def sizes_of(x_shape: Extents, y_shape: Extents, window: Window, groups: int) -> Sizes:
    """The sizes for two spatial axes, or fewer: images are then lines of height 1."""
    kernel, stride, pad, dilation = window
    missing = 2 - len(kernel)
    height, width = (1,) * missing + x_shape[2:]
    out_height, out_width = (1,) * missing + y_shape[2:]
    kernel_h, kernel_w = (1,) * missing + kernel
    stride_h, stride_w = (1,) * missing + stride
    pad_h, pad_w = (0,) * missing + pad
    dilation_h, dilation_w = (1,) * missing + dilation
    channels, outputs = x_shape[1] // groups, y_shape[1] // groups
    return Sizes(
        x_shape[0], groups, channels, outputs, height, width, out_height, out_width,
        kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
        channels * kernel_h * kernel_w, out_height * out_width, channels * height * width,
    )  # fmt: skip


@lru_cache(maxsize=256)
def transposed(s: Sizes) -> Sizes:
    """The convolution of dy that gives dx, for stride 1: with rotated filters.

    dy is padded by what the filters reach beyond their own padding: dilation (kernel - 1) - pad,
    which may be negative.
    """
    return s._replace(
        channels=s.outputs, outputs=s.channels,
        height=s.out_height, width=s.out_width, out_height=s.height, out_width=s.width,
        pad_h=s.dilation_h * (s.kernel_h - 1) - s.pad_h,
        pad_w=s.dilation_w * (s.kernel_w - 1) - s.pad_w,
        depth=s.outputs * s.kernel_h * s.kernel_w,
        pixels=s.height * s.width, image=s.outputs * s.pixels,
    )  # fmt: skip
