"""A built-in layer as pycaffe shows it: its blobs' arrays are ndarrays, all else is its own."""

from __future__ import annotations

from typing import Any, cast

from ..layer import Layer
from ..python_blob import PythonBlobs


class ShownLayer:
    """The face of a layer that is not the user's own; for isinstance it is of the layer's class."""

    _layer: Layer
    blobs: PythonBlobs

    def __init__(self, layer: Layer) -> None:
        vars(self).update(_layer=layer, blobs=PythonBlobs(layer.blobs))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)


def shown(layer: Layer) -> Layer:
    """The face of a layer."""
    return cast(Layer, ShownLayer(layer))
