"""Fusion: neighbours in a net that run as one kernel, where nobody can see what is between them.

    layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" }
    layer { name: "scale" type: "Scale" bottom: "x" top: "x" }
    layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }

One by one, these three move the blob through memory again and again, and what the first two leave
in `x` is overwritten before anything reads it. So a chain of layers of the TYPES below, in which
each but the first works in place on the top of the one before it, runs as a group: with one kernel
forward and one backward, where the device has a kernel family of that name. A Split, which only
adds gradients, can be the last of a group.

All else is as it was. The layers stand in the net with their names, parameters and blobs, and after
a pass all of these hold what they would hold without groups (up to the order of a sum: within 1e-6
of the largest value). So a pass can run in groups forward and layer by layer back. It does run
layer by layer where a callback wants to see each layer (`debug_info` is one), and the layers of a
group do so where a pass begins or ends inside it.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from ..device import known_families, load_kernel
from ..layer import Layer
from ..overlay import is_overlaid
from .node import Node

# types of a chain -> the kernel family, and the module in layers/fused/ that has its Group
TYPES = {
    ("BatchNorm", "Scale", "ReLU"): "batch_norm_scale_relu",
    ("BatchNorm", "Scale"): "batch_norm_scale_relu",
    ("BatchNorm", "ReLU"): "batch_norm_scale_relu",
    ("Convolution", "ReLU"): "convolution_relu",
    ("Eltwise", "ReLU", "Split"): "eltwise_relu",
    ("Eltwise", "ReLU"): "eltwise_relu",
}
LONGEST = max(map(len, TYPES))


class Group(ABC):
    """The layers `first` to `last` of a net, `nodes`. A subclass says what they do as one.

    `top` is the blob that all but a Split write.
    """

    kernel: ClassVar[str]  # family

    def __init__(self, first: int, nodes: Sequence[Node]) -> None:
        self.first = first
        self.last = first + len(nodes) - 1
        self.nodes = nodes
        self.top = nodes[0].tops[0]
        self.device = nodes[0].layer.device
        self.ops: Any = load_kernel(self.kernel, self.device)

    @abstractmethod
    def fits(self) -> bool:
        """Whether the kernel can do it, for the layers' parameters and the shape of this pass."""

    def fits_backward(self) -> bool:
        """The same for backward; each layer has to give the gradients of all its bottoms."""
        return self.fits()

    @abstractmethod
    def forward(self) -> None:
        """What the layers do forward; they have been reshaped."""

    @abstractmethod
    def backward(self) -> None:
        """What the layers do back."""

    def run_forward(self) -> None:
        """Forward as a group, or one by one."""
        if self.fits():
            self.forward()
        else:
            for node in self.nodes:
                node.layer.forward(node.bottoms, node.tops)

    def run_backward(self) -> None:
        """Back as a group, or one by one, where not all gradients are wanted."""
        wanted = all(node.needs_backward and all(node.propagate_down) for node in self.nodes)
        if wanted and self.fits_backward():
            self.backward()
        else:
            for node in reversed(self.nodes):
                node.run_back()


def find_groups(nodes: Sequence[Node], device: str) -> list[Group]:
    """The groups of a net that has been built on a device, in order; each as long as can be."""
    groups: list[Group] = []
    index = 0
    while index < len(nodes):
        group = _group_from(nodes, index, device)
        if group:
            groups.append(group)
            index = group.last
        index += 1
    return groups


def _group_from(nodes: Sequence[Node], first: int, device: str) -> Group | None:
    """The longest group that begins with a layer."""
    for length in range(_chain(nodes, first), 1, -1):
        part = nodes[first : first + length]
        layers = [node.layer for node in part]
        family = TYPES.get(tuple(layer.type for layer in layers))
        if family not in known_families(device) or _has_overlaid(layers, family):
            continue
        if {layer.device for layer in layers} == {device}:
            made: type[Group] = importlib.import_module(f"minicaffe.layers.fused.{family}").Group
            group = made(first, part)
            if group.fits():
                return group
    return None


def _has_overlaid(layers: Sequence[Layer], family: str) -> bool:
    """Whether layers, or their kernels, are of MINICAFFE_PATH and would be passed over.

    A group that is of MINICAFFE_PATH itself knows what it replaces.
    """
    if is_overlaid(f"minicaffe.layers.fused.{family}"):
        return False
    modules = {base.__module__ for layer in layers for base in type(layer).__mro__}
    modules |= {x.ops.__name__ for x in layers if x.ops is not None}
    return any(is_overlaid(name) for name in modules if name.startswith("minicaffe."))


def _chain(nodes: Sequence[Node], first: int) -> int:
    """How many layers, from one on, have its top as their bottom and top; a Split may be last."""
    tops = nodes[first].tops
    index = first + 1
    while index < min(first + LONGEST, len(nodes)) and nodes[index].bottoms == tops:
        if nodes[index].tops != tops:
            return index - first + (nodes[index].layer.type == "Split")
        index += 1
    return index - first


def whole_groups(groups: Sequence[Group], start: int, last: int) -> dict[int, Group | None]:
    """By their indices the layers that run in groups in a pass over the layers `start` to `last`.

    A group runs at its last layer, where it stands; at the others there is nothing to do (None).
    """
    running: dict[int, Group | None] = {}
    for group in groups:
        if start <= group.first and group.last <= last:
            running |= dict.fromkeys(range(group.first, group.last))
            running[group.last] = group
    return running
