"""Eltwise SUM of two bottoms, then ReLU, and the Split after them: see minicaffe/net/fusion.py."""

from typing import Any

from minicaffe.net.fusion import Group as FusionGroup
from minicaffe.proto import minicaffe_pb2 as pb

from ..eltwise import EltwiseLayer
from ..relu import ReLULayer


class Group(FusionGroup):
    """The end of a residual block: y = relu(a + b), read by the next block and its shortcut."""

    replaces = (("Eltwise", "ReLU", "Split"), ("Eltwise", "ReLU"))
    kernel = "eltwise_relu"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        layers = [node.layer for node in self.nodes]
        self.eltwise = next(each for each in layers if isinstance(each, EltwiseLayer))
        self.relu = next(each for each in layers if isinstance(each, ReLULayer))
        self.split_tops = self.nodes[2].tops if len(self.nodes) > 2 else []

    def fits(self) -> bool:
        """A sum of two, not in place; and a Split in two, if there is one."""
        bottoms = self.nodes[0].bottoms
        return (
            self.eltwise.operation == pb.EltwiseParameter.SUM
            and len(bottoms) == 2
            and self.top not in bottoms
            and len(self.split_tops) in (0, 2)
        )

    def forward(self) -> None:
        """Add and rectify; a Split shares the data."""
        a, b = (blob.data.read(self.device) for blob in self.nodes[0].bottoms)
        y = self.top.data.write(self.device)
        self.ops.forward(a, b, *self.eltwise.coeff, self.relu.negative_slope, y)

    def backward(self) -> None:
        """Add the gradients of a Split's tops, pass them where y is positive, to both bottoms."""
        y = self.top.data.read(self.device)
        slope, coeff = self.relu.negative_slope, self.eltwise.coeff
        da, db = (blob.diff.write(self.device) for blob in self.nodes[0].bottoms)
        if self.split_tops:
            parts = [blob.diff.read(self.device) for blob in self.split_tops]
            dy = self.top.diff.write(self.device)
            self.ops.backward_split(y, slope, *parts, dy, *coeff, da, db)
        else:
            self.ops.backward(y, slope, self.top.diff.update(self.device), *coeff, da, db)
