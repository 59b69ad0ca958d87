"""Fusion: neighbours in a net that run as one kernel, where nobody can see what is between them.

    layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" }
    layer { name: "scale" type: "Scale" bottom: "x" top: "x" }
    layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }

One by one, these three move the blob through memory again and again, and what the first two leave
in `x` is overwritten before anything reads it. So a chain of layers of the TYPES below, in which
each but the first works in place on the top of the one before it, runs as a group: with one kernel
forward and one backward, where the device has a kernel family of that name.

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
from typing import TYPE_CHECKING

from .blob import Blob
from .device import known_families
from .graph import Node

if TYPE_CHECKING:
    from .net import Net

BATCH_NORM = "batch_norm_scale_relu"

# types of a chain -> the kernel family, and the module in layers/ (with a "_") that has its Group
TYPES = {
    ("BatchNorm", "Scale", "ReLU"): BATCH_NORM,
    ("BatchNorm", "Scale"): BATCH_NORM,
    ("BatchNorm", "ReLU"): BATCH_NORM,
}
LONGEST = max(map(len, TYPES))


class Group(ABC):
    """The layers `first` to `last` of a net. A subclass says what they do as one.

    `bottom` is what the first layer reads and `top` the blob that all of them write.
    """

    def __init__(self, first: int, nodes: Sequence[Node], bottom: Blob, top: Blob) -> None:
        self.first = first
        self.last = first + len(nodes) - 1
        self.nodes = nodes
        self.bottom = bottom
        self.top = top

    @abstractmethod
    def fits(self) -> bool:
        """Whether the kernel can do it, for the layers' parameters and the shape of this pass."""

    def fits_backward(self) -> bool:
        """The same for backward; each layer has to give the gradient of its bottom."""
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
            for node, bottom in zip(self.nodes, self._bottoms(), strict=True):
                node.layer.forward([bottom], [self.top])

    def run_backward(self) -> None:
        """Back as a group, or one by one, where gradients are not wanted of all bottoms."""
        wanted = all(node.needs_backward and node.propagate_down[0] for node in self.nodes)
        if wanted and self.fits_backward():
            self.backward()
            return
        for node, bottom in reversed(list(zip(self.nodes, self._bottoms(), strict=True))):
            if node.needs_backward:
                node.layer.backward([self.top], node.propagate_down, [bottom])

    def _bottoms(self) -> list[Blob]:
        return [self.bottom, *[self.top] * (len(self.nodes) - 1)]


def find_groups(net: Net) -> list[Group]:
    """The groups of a net that has been built, in order; each as long as can be."""
    families = known_families(net.device)
    groups: list[Group] = []
    index = 0
    while index < len(net.nodes):
        chain = _chain(net, index)
        for length in range(len(chain), 1, -1):
            family = TYPES.get(tuple(node.layer.type for node in chain[:length]))
            if family in families:
                made: type[Group] = importlib.import_module(f"minicaffe.layers._{family}").Group
                bottom, top = net.layer_bottoms[index][0], net.layer_tops[index][0]
                groups.append(made(index, chain[:length], bottom, top))
                index = groups[-1].last
                break
        index += 1
    return groups


def _chain(net: Net, first: int) -> list[Node]:
    """A layer and those after it that work in place on its one top; LONGEST at most."""
    chain: list[Node] = []
    for index in range(first, min(first + LONGEST, len(net.nodes))):
        node, bottoms, tops = net.nodes[index], net.layer_bottoms[index], net.layer_tops[index]
        if (
            [len(bottoms), len(tops)] != [1, 1]
            or node.layer.device != net.device
            or (chain and not bottoms[0] is tops[0] is net.layer_tops[first][0])
        ):
            break
        chain.append(node)
    return chain


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
