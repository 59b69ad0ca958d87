"""Which axes of their bottom the values of Scale and Bias span."""

from collections.abc import Sequence
from typing import Any

from minicaffe.blob import Blob, Shape
from minicaffe.layer import Layer


def parameter_shape(layer: Layer, bottom: Blob, param: Any) -> Shape:
    """The axes of the bottom that a learnable operand spans: `num_axes` of them from `axis`.

    `num_axes` -1 takes all that follow, 0 none: a scalar.
    """
    first = layer.axis(bottom, param.axis)
    if param.num_axes < -1:
        raise layer.error(f"num_axes must be -1 or more, it is {param.num_axes}")
    last = bottom.num_axes if param.num_axes == -1 else first + param.num_axes
    if last > bottom.num_axes:
        raise layer.error(
            f"num_axes {param.num_axes} from axis {first} goes beyond bottom {bottom.shape}"
        )
    return bottom.shape[first:last]


def operand_view(layer: Layer, bottoms: Sequence[Blob], operand: Blob, axis: int) -> Shape:
    """The bottom's shape as (outer, count of the operand, inner); checks that they match."""
    bottom, shape = bottoms[0], operand.shape
    first = layer.axis(bottom, axis) if shape else 0
    if bottom.shape[first : first + len(shape)] != shape:
        raise layer.error(
            f"an operand of shape {shape} does not fit bottom {bottom.shape} from axis {first}"
        )
    return (bottom.count(0, first), operand.count(), bottom.count(first + len(shape)))
