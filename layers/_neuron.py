"""What the layers share that apply one function to every element."""

from collections.abc import Sequence
from typing import ClassVar

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class NeuronLayer(Layer):
    """Top and bottom have the same shape, and element i of the top depends on that of the bottom.

    An implementer names the function of kernel family `activation` in `function`, sets its
    parameters in setup, as `self.scalars`, and says whether backward must know the input even
    where the layer runs in place and so loses it (`keeps_input`).
    """

    kernels = ("activation", "copy")
    steady = True
    function: str
    keeps_input: ClassVar[bool] = False
    scalars: tuple[float, ...] = ()
    kept: Blob | None = None  # a copy of the input
    positions = "kept"

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape_like(bottom[0])
        self.input = bottom[0]
        if self.keeps_input and self.runs_back and top[0] is bottom[0]:
            self.input = self.kept = self.kept or Blob()
            self.kept.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Apply the function."""
        if self.input is not bottom[0]:
            self.ops_of("copy").copy(
                bottom[0].data.read(self.device), self.input.data.write(self.device)
            )
        self.ops.forward(
            self.function,
            self.input.data.read(self.device),
            top[0].data.write(self.device),
            *self.scalars,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Multiply the gradient by the derivative."""
        if propagate_down[0]:
            self.ops.backward(
                self.function,
                self.input.data.read(self.device),
                top[0].data.read(self.device),
                top[0].diff.read(self.device),
                bottom[0].diff.write(self.device),
                *self.scalars,
            )
