"""The axis of Concat and Slice, whose old prototxts name it otherwise."""

from typing import Any

from minicaffe.layer import Layer


def joined_axis(layer: Layer, param: Any, old_field: str) -> int:
    """The axis that a ConcatParameter or SliceParameter names, in its new or its old field."""
    if not param.HasField(old_field):
        return int(param.axis)
    if param.HasField("axis"):
        raise layer.error(f"give either axis or its old form {old_field}, not both")
    return int(getattr(param, old_field))
