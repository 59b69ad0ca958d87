"""Fusion: neighbours in a net that run as one kernel, where nobody can see what is between them.

    layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" }
    layer { name: "scale" type: "Scale" bottom: "x" top: "x" }
    layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }

One by one, these three move the blob through memory again and again, and what the first two leave
in `x` is overwritten before anything reads it. So layers of these types, of which each but the
first works in place on the top of the one before it, run as a group: with one kernel forward and
one backward, where the device has that kernel family. A Split, which only adds gradients, can be
the last of a group. Each file of layers/fused/ has a class `Group` and names the chains of types
that it stands for: a new one is a new file.

All else is as it was. The layers stand in the net with their names, parameters and blobs, and after
a pass all of these hold what they would hold without groups (up to the order of a sum: within 1e-6
of the largest value). So a pass can run in groups forward and layer by layer back. It does run
layer by layer where a callback wants to see each layer (`debug_info` is one), and the layers of a
group do so where a pass begins or ends inside it.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

from .. import overlay
from ..device import known_families, load_kernel
from ..errors import Error
from ..layer import source_of
from .node import Node

Chain = tuple[str, ...]  # layer types, in order


class Group(ABC):
    """The layers `first` to `last` of a net, `nodes`. A subclass says what they do as one.

    `top` is the blob that all but a Split write. `replaces` is written out in the file, as it is
    read from there before the class is needed.
    """

    replaces: ClassVar[tuple[Chain, ...]]  # the chains that it stands for
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


@cache
def known_chains() -> dict[Chain, str]:
    """The chains of types that run as one, and the module in layers/fused/ of each.

    They are read from the files' text: a net without such a chain imports none of the files.
    Raises Error for a file that names none.
    """
    package = importlib.import_module("minicaffe.layers.fused")
    found: dict[Chain, str] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            for chain in _chains_in(source_of(module), module.name):
                found.setdefault(chain, module.name)
    return found


def _chains_in(source: str, name: str) -> Sequence[Chain]:
    # the statement: its first line, those that are indented further, a closing parenthesis
    found = re.search(r"^    replaces\b.*?= *(.*\n(?:(?: {5}.*| {4}\))\n)*)", source, re.MULTILINE)
    try:
        chains = ast.literal_eval(found[1]) if found else None
    except (SyntaxError, ValueError):
        chains = None
    if not chains or not all(isinstance(chain, tuple) and len(chain) > 1 for chain in chains):
        raise Error(f"layers/fused/{name}.py does not say which types it stands for: its class"
                    ' Group needs a line such as replaces = (("BatchNorm", "ReLU"),)')  # fmt: skip
    return tuple(chains)


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
    chains = known_chains()
    for length in range(_in_place(nodes, first, max(map(len, chains), default=0)), 1, -1):
        part = nodes[first : first + length]
        name = chains.get(tuple(node.param.type for node in part))
        if name and {node.layer.device for node in part} == {device} and _may_stand(name, part):
            made: type[Group] = importlib.import_module(f"minicaffe.layers.fused.{name}").Group
            if made.kernel in known_families(device):
                group = made(first, part)
                if group.fits():
                    return group
    return None


def _may_stand(name: str, nodes: Sequence[Node]) -> bool:
    """Whether a group does not pass over layers, or kernels of theirs, that are of MINICAFFE_PATH.

    A group that is of MINICAFFE_PATH itself knows what it replaces.
    """
    if not overlay.folders() or overlay.is_overlaid(f"minicaffe.layers.fused.{name}"):
        return True
    modules: set[str] = set()
    for node in nodes:
        layer = node.layer
        modules.update(base.__module__ for base in type(layer).__mro__)
        modules.update(layer.ops_of(family).__name__ for family in layer.kernels)
    return not any(overlay.is_overlaid(name) for name in modules if name.startswith("minicaffe."))


def _in_place(nodes: Sequence[Node], first: int, most: int) -> int:
    """How many layers, from one on, have its top as their bottom and top; a Split may be last."""
    tops = nodes[first].tops
    index = first + 1
    while index < min(first + most, len(nodes)) and nodes[index].bottoms == tops:
        if nodes[index].tops != tops:
            return index - first + (nodes[index].param.type == "Split")
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
