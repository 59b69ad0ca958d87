"""Which pixel of one top lies over which of another, and the Crop layer that aligns them.

    from minicaffe.coord_map import crop
    n.score = crop(n.upscore, n.data)      # cut upscore to the size and position of data

A map (axis, scale, shift) says: pixel x of one blob lies at scale * x + shift of the other, along
the spatial axes after `axis` (None: any). Scale and shift are arrays, of one value for all these
axes or one each. Composition and inversion are those of affine maps:

    conv, pool   y = (x + pad - (k - 1) / 2) / stride, k the dilated kernel
    deconv       y = stride x + (k - 1) / 2 - pad
    Crop         y = x - offset
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NetError
from ..layer import layer_class
from .net_spec import Function, Top, layers

Values = NDArray[np.float64]
Map = tuple[int | None, Values, Values]


class UndefinedMapException(NetError):
    """A layer whose tops' pixels do not lie over its bottoms' (InnerProduct, Reshape ...)."""


class AxisMismatchException(NetError):
    """Two maps along different axes that should be composed."""


class UnconnectedException(NetError, RuntimeError):
    """Two tops that no spatial layers connect."""


class CropException(NetError, AssertionError):
    """Two tops that no Crop can align: another scale, a negative or a broken offset."""


def identity() -> Map:
    """The map of a blob to itself."""
    return None, np.ones(1), np.zeros(1)


def coord_map(fn: Function) -> Map:
    """The map from a layer's bottom to its top. Raises UndefinedMapException if there is none."""
    positions = layer_class(fn.type_name).positions
    if positions == "kept":
        return identity()
    if positions == "windows":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if positions == "spread":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if positions == "cut":
        axis, offset = crop_params(fn)
        return axis - 1, np.ones(1), -offset  # counted, like the others, from the axis before
    raise UndefinedMapException(f"{fn.type_name} maps no pixels of its bottom to its top's")


def conv_params(fn: Function) -> tuple[int, Values, Values, Values]:
    """Channel axis, stride, dilated kernel size and pad of a Convolution, Pooling ... layer."""
    params = _params_of(fn)
    if params.get("global_pooling"):
        raise UndefinedMapException("global pooling leaves no pixels to map")
    kernel = _sizes(params, "kernel_size", None)
    dilation = _sizes(params, "dilation", 1)
    stride, pad = _sizes(params, "stride", 1), _sizes(params, "pad", 0)
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Values]:
    """First cropped axis and offsets of a Crop layer."""
    params = _params_of(fn)
    return params.get("axis", 2), _sizes(params, "offset", 0)


def _params_of(fn: Function) -> Mapping[str, Any]:
    """What was given to the layer directly, and in its `..._param`."""
    merged = dict(fn.params)
    for name, value in fn.params.items():
        if name.endswith("_param") and isinstance(value, Mapping):
            merged.update(value)
    return merged


def _sizes(params: Mapping[str, Any], name: str, default: int | None) -> Values:
    """A size of one value or one a spatial axis, also in the old form `kernel_h`, `kernel_w`."""
    old = [f"{name.removesuffix('_size')}_{axis}" for axis in "hw"]
    value = params.get(name, default)
    if all(key in params for key in old):
        value = [params[key] for key in old]
    if value is None:
        raise UndefinedMapException(f"no {name} is given")
    return np.atleast_1d(np.asarray(value, np.float64))


def compose(base_map: Map, next_map: Map) -> Map:
    """The map that goes first through `next_map`, then through `base_map`."""
    axis1, scale1, shift1 = base_map
    axis2, scale2, shift2 = next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"maps along axes {axis1} and {axis2} cannot be composed")
    return axis2 if axis1 is None else axis1, scale1 * scale2, scale1 * shift2 + shift1


def inverse(coord_map: Map) -> Map:
    """The map in the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from pixels of `top_from` to those of `top_to`, through a blob that both come from.

    Raises UnconnectedException when there is none, or when layers without a map lie between.
    """
    from_maps: dict[Top, Map] = {}
    for top, found in _maps_back(top_from):
        from_maps.setdefault(top, found)
    for top, found in _maps_back(top_to):
        if top in from_maps:
            return compose(found, inverse(from_maps[top]))
    raise UnconnectedException(
        "could not map one top to the other: are they connected by spatial layers?"
    )


def _maps_back(start: Top) -> Iterator[tuple[Top, Map]]:
    """`start` and the tops it is computed from, nearest first, with the maps from them to it."""
    frontier = deque([(start, identity())])
    while frontier:
        top, found = frontier.popleft()
        yield top, found
        function = top.fn
        # A Crop lies over its first bottom; the second one only gives the size.
        cut = layer_class(function.type_name).positions == "cut"
        bottoms = function.inputs[:1] if cut else function.inputs
        if not bottoms:
            continue
        try:
            step = compose(found, coord_map(function))
        except UndefinedMapException:
            continue
        frontier.extend((bottom, step) for bottom in bottoms)


def crop(top_from: Top, top_to: Top) -> Any:
    """A Crop layer's top: `top_from` cut to where `top_to` lies, and to its size.

    Raises CropException when the two have another scale, or an offset that is no whole number of
    pixels inwards.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    if not (scale == 1).all():
        raise CropException(f"scale mismatch on crop (a = {scale})")
    if not (shift <= 0).all():
        raise CropException(f"cannot crop negative offset (b = {shift})")
    if not (np.round(shift) == shift).all():
        raise CropException(f"cannot crop noninteger offset (b = {shift})")
    offset = [int(value) for value in -shift]
    return layers.Crop(
        top_from, top_to, crop_param={"axis": 2 if axis is None else axis + 1, "offset": offset}
    )
