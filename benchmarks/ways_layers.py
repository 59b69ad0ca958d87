"""The convolutions whose ways are timed: those of the comparison, of its nets, and some more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minicaffe.kernels.cpu import convolution
from minicaffe.kernels.cpu.convolution.plan import Plan
from minicaffe.net.net import Net

from .layers import CONVOLUTIONS
from .nets import NETS

# name, shape of the images, filters, and the other fields of convolution_param
MORE: tuple[tuple[str, tuple[int, ...], int, dict[str, int]], ...] = (
    ("Inception 3x3 4a", (32, 96, 14, 14), 208, {"kernel_size": 3, "pad": 1}),
    ("Inception 5x5 4a", (32, 16, 14, 14), 48, {"kernel_size": 5, "pad": 2}),
    ("Inception 3x3 5b", (32, 192, 7, 7), 384, {"kernel_size": 3, "pad": 1}),
    ("Inception 5x5 5b", (32, 48, 7, 7), 128, {"kernel_size": 5, "pad": 2}),
    ("64 channels, 8x8", (64, 64, 8, 8), 64, {"kernel_size": 3, "pad": 1}),
    ("ResNet-20, 16 channels", (128, 16, 32, 32), 16, {"kernel_size": 3, "pad": 1}),
    ("ResNet-20, 32 channels", (128, 32, 16, 16), 32, {"kernel_size": 3, "pad": 1}),
    ("ResNet-20, 64 channels", (128, 64, 8, 8), 64, {"kernel_size": 3, "pad": 1}),
    ("VGG conv1_1", (2, 3, 224, 224), 64, {"kernel_size": 3, "pad": 1}),
    ("VGG conv2_2", (2, 128, 112, 112), 128, {"kernel_size": 3, "pad": 1}),
    ("SqueezeNet 3x3", (8, 48, 27, 27), 192, {"kernel_size": 3, "pad": 1}),
    ("3x3, stride 2", (8, 128, 28, 28), 256, {"kernel_size": 3, "pad": 1, "stride": 2}),
    *((f"{name}, alone", (1, *shape[1:]), filters, parameters)
      for name, shape, filters, parameters in CONVOLUTIONS
      if name.startswith(("LeNet", "CIFAR", "CaffeNet", "ResNet 3x3"))),
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A convolution with a name."""

    name: str
    plan: Plan

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others."""
        return self.plan.x_shape, self.plan.y_shape, self.plan.window, self.plan.groups

    @classmethod
    def of(
        cls, name: str, shape: tuple[int, ...], filters: int, parameters: dict[str, int]
    ) -> Layer:
        """From the fields of a convolution_param, all of them square."""
        kernel, stride, pad = (
            parameters.get(key, usual)
            for key, usual in (("kernel_size", 1), ("stride", 1), ("pad", 0))
        )
        size = tuple((n + 2 * pad - kernel) // stride + 1 for n in shape[2:])
        window = ((kernel,) * 2, (stride,) * 2, (pad,) * 2, (1, 1))
        y_shape = (shape[0], filters, *size)
        return cls(name, convolution.plan(shape, y_shape, *window, parameters.get("group", 1)))


def layers() -> Iterator[Layer]:
    """All, each shape once."""
    seen = set()
    for layer in (*(Layer.of(*each) for each in (*CONVOLUTIONS, *MORE)), *of_nets()):
        if layer.key not in seen:
            seen.add(layer.key)
            yield layer


def of_nets() -> Iterator[Layer]:
    """The convolutions of the nets of the comparison, at their usual batch."""
    for model, batch, _ in NETS:
        net = Net(model.net(batch, deploy=True), device="cpu")
        for node in net.nodes:
            if node.layer.type == "Convolution":
                yield Layer(f"{net.name} {node.name}", node.layer.plan)
