"""Layers that run in place and so overwrite what a gradient will need: Caffe's trap, told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .node import Node


def overwritten(nodes: Sequence[Node]) -> Iterator[str]:
    """A sentence for each layer that overwrites data which a backward pass reads.

    That is the top of a layer above, in its own memory or in that of a layer that shares it, or
    what the layer itself was given.
    """
    memory: dict[int, int] = {}  # by blob, whose memory it has
    readers: dict[int, Node] = {}  # by memory, the layer that will want to find it as it left it
    for node in nodes:
        kind = node.kind
        goes_back = node.needs_backward and any(node.propagate_down)
        for name, top in zip(node.top_names, node.tops, strict=True):
            place = memory.get(id(top), id(top))
            if kind.shares and node.bottoms:
                place = memory.get(id(node.bottoms[0]), id(node.bottoms[0]))
            elif any(top is bottom for bottom in node.bottoms):
                reader = readers.pop(place, None)
                if reader:
                    yield _sentence(node, name, f"'{reader.name}' ({reader.layer.type}) needs")
                if kind.needs_bottom and goes_back:
                    yield _sentence(node, name, "it needs itself")
            memory[id(top)] = place
            if kind.needs_top and goes_back:
                readers[place] = node


def _sentence(node: Node, blob: str, who: str) -> str:
    return (
        f"layer '{node.name}' ({node.layer.type}) overwrites '{blob}', which {who} for its"
        " gradient: give its top a name of its own"
    )
