"""An ONNX graph in the making: nodes, constants and names; the package onnx is not needed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicaffe.blob import Blob, Shape

FLOAT, INT64 = 1, 7  # TensorProto.DataType: what Cast casts to

Attribute = int | float | str | list[int]


@dataclass
class Node:
    """An operator between named values."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute]
    name: str


@dataclass(frozen=True)
class Step:
    """A layer on its way into the graph: names and shapes of its bottoms, shapes of its tops."""

    layer: Any
    bottoms: list[str]
    shapes: list[Shape]
    top_shapes: list[Shape]

    @property
    def bottom(self) -> str:
        """The value of the first bottom."""
        return self.bottoms[0]

    @property
    def shape(self) -> Shape:
        """The shape of the first bottom."""
        return self.shapes[0]


@dataclass
class Graph:
    """Nodes in order, and the constants that they read. Every value has one name, for good.

    What is added belongs to the layer that `scope` names.
    """

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    scope: str = ""
    _names: set[str] = field(default_factory=set)
    _parameters: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def reserve(self, name: str) -> None:
        """Keep a name for a value that comes later, or from outside."""
        self._names.add(name)

    def _new_name(self, word: str) -> str:
        name, number = f"{self.scope}/{word}", 1
        while name in self._names:
            number += 1
            name = f"{self.scope}/{word}_{number}"
        self._names.add(name)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node with one output; the name of that value."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: int, **attributes: Attribute
    ) -> list[str]:
        """Append a node with so many outputs; the names of these values."""
        names = [self._new_name(operator) for _ in range(outputs)]
        self.nodes.append(Node(operator, list(inputs), names, attributes, names[0]))
        return names

    def constant(self, values: ArrayLike, dtype: Any = np.float32) -> str:
        """A constant of the graph."""
        name = self._new_name("constant")
        self.constants[name] = np.array(values, dtype)
        return name

    def integers(self, values: Sequence[int]) -> str:
        """A constant list of whole numbers: a shape, axes, places."""
        return self.constant(values, np.int64)

    def parameter(self, blob: Blob, shape: Shape | None = None) -> str:
        """The values of a parameter blob in its layer's shape, or in another if one is given.

        Layers that share a parameter share the constant.
        """
        shape = blob.data.read("cpu").shape if shape is None else shape
        key = (id(blob.data.storage), blob.data.offset, shape)
        if key not in self._parameters:
            name = self._new_name("parameter")
            self.constants[name] = np.array(blob.data.read("cpu"), np.float32).reshape(shape)
            self._parameters[key] = name
        return self._parameters[key]

    def reshape(self, value: str, old: Shape, new: Shape) -> str:
        """The value under another shape; leading axes that stay equal are written as 0 (copied)."""
        if old == new:
            return value
        dims = list(new)
        for axis, (before, after) in enumerate(zip(old, new, strict=False)):
            if before != after:
                break
            dims[axis] = 0
        return self.add("Reshape", value, self.integers(dims))

    def affine(self, value: str, scale: float, shift: float) -> str:
        """scale * value + shift, without the half that does nothing."""
        if scale != 1:
            value = self.add("Mul", value, self.constant(scale))
        if shift != 0:
            value = self.add("Add", value, self.constant(shift))
        return value

    def rename(self, old: str, new: str, since: int) -> bool:
        """Call the output of a node, among those from number `since` on, by another name.

        False if none of them makes it.
        """
        if not any(old in node.outputs for node in self.nodes[since:]):
            return False
        for node in self.nodes[since:]:
            node.inputs = [new if name == old else name for name in node.inputs]
            node.outputs = [new if name == old else name for name in node.outputs]
        self._names.add(new)
        return True
