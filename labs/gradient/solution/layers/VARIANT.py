"""Variant: the function of kernel family VARIANT, element by element."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class VariantLayer(Layer):
    """One function of each element; README.md has its formula.

    Bottom and top have the same shape, any number of axes.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Variant" name: "y" bottom: "x" top: "y" }
    """

    kernels = ("VARIANT",)
    in_place = False

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Apply the function."""
        self.ops.forward(bottom[0].data.read(self.device), top[0].data.write(self.device))

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Multiply the gradient by the slope at the input, where one is asked for."""
        if propagate_down[0]:
            self.ops.backward(
                bottom[0].data.read(self.device),
                top[0].diff.read(self.device),
                bottom[0].diff.write(self.device),
            )
