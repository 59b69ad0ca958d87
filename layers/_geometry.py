"""Windows that slide over images: kernel, stride, pad and dilation of the convolutions.

A window of `kernel` taps, `dilation` apart, covers reach = dilation (kernel - 1) + 1 values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minicaffe.layer import Layer

Extents = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """One value a spatial axis each."""

    kernel: Extents
    stride: Extents
    pad: Extents
    dilation: Extents

    def convolved(self, extents: Sequence[int]) -> Extents:
        """Output extents of a convolution: floor((in + 2 pad - reach) / stride) + 1."""
        return tuple(
            (extent + 2 * pad - reach) // stride + 1
            for extent, pad, stride, reach in zip(
                extents, self.pad, self.stride, self._reach(), strict=True
            )
        )

    def deconvolved(self, extents: Sequence[int]) -> Extents:
        """Output extents of a deconvolution: stride (in - 1) + reach - 2 pad."""
        return tuple(
            stride * (extent - 1) + reach - 2 * pad
            for extent, pad, stride, reach in zip(
                extents, self.pad, self.stride, self._reach(), strict=True
            )
        )

    def _reach(self) -> Extents:
        return tuple(
            dilation * (kernel - 1) + 1
            for kernel, dilation in zip(self.kernel, self.dilation, strict=True)
        )


def read_window(layer: Layer, spatial_axes: int) -> Window:
    """The window of a layer's `convolution_param`, one value for each spatial axis.

    Raises LayerError for contradicting fields, a wrong number of values, and zeros.
    """
    return Window(
        _positive(layer, "kernel", _per_axis(layer, "kernel", "kernel_size", spatial_axes, None)),
        _positive(layer, "stride", _per_axis(layer, "stride", "stride", spatial_axes, 1)),
        _per_axis(layer, "pad", "pad", spatial_axes, 0),
        _positive(layer, "dilation", _per_axis(layer, "dilation", "dilation", spatial_axes, 1)),
    )


def check_extents(layer: Layer, window: Window, extents: Sequence[int], out: Extents) -> None:
    """Raise LayerError where an image of these extents leaves no output."""
    if any(extent < 1 for extent in out):
        raise layer.error(
            f"an image of {tuple(extents)} gives an output of {out}: kernel {window.kernel}, "
            f"stride {window.stride}, pad {window.pad}, dilation {window.dilation}"
        )


def _per_axis(
    layer: Layer, name: str, field: str, spatial_axes: int, default: int | None
) -> Extents:
    param: Any = layer.param.convolution_param
    values = tuple(getattr(param, field))
    if name != "dilation" and (param.HasField(f"{name}_h") or param.HasField(f"{name}_w")):
        if values:
            raise layer.error(f"give {field}, or {name}_h and {name}_w, not both")
        if spatial_axes != 2:
            raise layer.error(f"{name}_h and {name}_w are for 2 spatial axes, not {spatial_axes}")
        return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
    if not values and default is not None:
        return (default,) * spatial_axes
    if len(values) == 1:
        return values * spatial_axes
    if len(values) != spatial_axes:
        raise layer.error(
            f"{field} is given {len(values)} times for {spatial_axes} spatial axes "
            "(once, or once an axis)"
        )
    return values


def _positive(layer: Layer, name: str, values: Extents) -> Extents:
    if 0 in values:
        raise layer.error(f"{name} {values} must be positive along every axis")
    return values
