"""Convolution, then ReLU, in forward: see minicaffe/net/fusion.py."""

from typing import Any

from minicaffe.net.fusion import Group as FusionGroup

from ..convolution import ConvolutionLayer
from ..relu import ReLULayer


class Group(FusionGroup):
    """y = relu(W * x + b); the layers run back one by one, where nothing would be saved."""

    replaces = (("Convolution", "ReLU"),)
    kernel = "convolution_relu"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        layers = [node.layer for node in self.nodes]
        self.convolution = next(each for each in layers if isinstance(each, ConvolutionLayer))
        self.relu = next(each for each in layers if isinstance(each, ReLULayer))

    def fits(self) -> bool:
        """Always: ReLU has one bottom, and so the convolution has one top."""
        return True

    def fits_backward(self) -> bool:
        """Never: the gradient of the bias needs what ReLU lets pass, in memory."""
        return False

    def forward(self) -> None:
        """Convolve, add the bias and rectify."""
        top, bottom = self.nodes[0].tops, self.nodes[0].bottoms
        self.convolution.run_forward(self.ops, bottom, top, self.relu.negative_slope)

    def backward(self) -> None:
        """Not called."""
