"""The runnable prototxt in a layer's docstring: what tests check and documentation shows."""

from __future__ import annotations

import inspect
import textwrap

from .errors import LayerError
from .layer import layer_class
from .proto import minicaffe_pb2 as pb
from .proto.reflection import given_fields
from .proto.text import parse_text


def example_text(layer_type: str) -> str:
    """The prototxt of a layer's docstring: its last indented block that describes layers."""
    doc = inspect.getdoc(layer_class(layer_type)) or ""
    blocks = [block for block in _indented_blocks(doc) if block.startswith("layer {")]
    if not blocks:
        raise LayerError(f"the docstring of {layer_type}Layer holds no prototxt")
    return blocks[-1]


def example_net(layer_type: str) -> pb.NetParameter:
    """The net of a layer's docstring."""
    net = pb.NetParameter()
    parse_text(example_text(layer_type), net, source=f"docstring of {layer_type}Layer")
    return net


def needs_files(layer_type: str) -> bool:
    """Whether the example runs only where there are files, to read or to be written."""
    for layer in example_net(layer_type).layer:
        kind = layer_class(layer.type)
        fields = (*kind.reads, *kind.small_files, *kind.writes)
        if any(given_fields(layer, fields)) or not (layer.bottom or kind.needs_no_input):
            return True
    return False


def _indented_blocks(doc: str) -> list[str]:
    blocks: list[list[str]] = [[]]
    for line in doc.splitlines():
        if line.startswith("    "):
            blocks[-1].append(line)
        elif line.strip():
            blocks.append([])
    return [textwrap.dedent("\n".join(block)).strip() for block in blocks if block]
