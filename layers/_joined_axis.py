"""The axis of Concat and Slice, whose old prototxts name it otherwise."""

from typing import Any

from minicaffe.blob import Blob
from minicaffe.layer import Layer


def joined_axis(layer: Layer, blob: Blob, param: Any, old_field: str) -> int:
    """The axis of `blob` that a ConcatParameter or SliceParameter names, counted from the front."""
    if not param.HasField(old_field):
        return layer.axis(blob, param.axis)
    if param.HasField("axis"):
        raise layer.error(f"give either axis or its old form {old_field}, not both")
    return layer.axis(blob, getattr(param, old_field), old_field)
