"""From a net to an ONNX model: layer by layer, then names, inputs and outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minicaffe.errors import NetError, extra
from minicaffe.layer import known_types

from ..net.net import AUTOMATIC, Net
from . import elementwise, normalization, pooling, products, shapes
from .graph import Graph, Step

OPSET = 13
IR_VERSION = 7  # of ONNX 1.8, which brought opset 13
LARGEST = 2**31 - 1  # bytes of one protobuf message
FAMILIES = (elementwise, normalization, pooling, products, shapes)

Writer = Callable[[Graph, Step], list[str]]


def to_onnx(net: Net) -> Any:
    """The `onnx.ModelProto` of a net, weights included, checked by the package onnx.

    Raises NetError for a layer type that has no ONNX form here, with the types that have one;
    LayerError for a layer whose parameters have none; MissingExtra without the package onnx.
    """
    _refuse_unsupported(net)
    graph = Graph()
    values = _layers(net, graph)
    for name in net.output_names:
        if values[name] != name:  # a blob that shares another's values
            graph.scope = name
            graph.rename(graph.add("Identity", values[name]), name, len(graph.nodes) - 1)
    return _model(net, graph)


def supported_types() -> list[str]:
    """The layer types that have an ONNX form."""
    return [name for name in known_types() if _writer(name) is not None]


def _writer(layer_type: str) -> Writer | None:
    """The function that writes the nodes of a layer type."""
    name = known_types().get(layer_type, "")
    for family in FAMILIES:
        found = getattr(family, name, None)
        if inspect.isfunction(found) and found.__module__ == family.__name__:
            writer: Writer = found
            return writer
    return None


def _refuse_unsupported(net: Net) -> None:
    unknown = [
        f"'{node.name}' ({node.layer.type})"
        for node in net.nodes
        if _writer(node.layer.type) is None
    ]
    if unknown:
        raise NetError(
            f"no ONNX form for layer {', '.join(unknown)}; there is one for:"
            f" {', '.join(supported_types())}"
        )
    if not net.output_names:
        raise NetError(f"net '{net.name}' has no outputs: a model needs one at least")
    empty = [name for name, blob in net.blob_dict.items() if blob.count() == 0]
    if empty:
        raise NetError(f"blob '{empty[0]}' is empty: shape {net.blob_dict[empty[0]].shape}")


def _layers(net: Net, graph: Graph) -> dict[str, str]:
    """Write all layers; the values of the blobs, by the blobs' names, as they are at the end.

    A layer in place gives its blob a new value. The last value of a blob has the blob's name.
    """
    last = {name: index for index, node in enumerate(net.nodes) for name in node.top_names}
    for name in last:
        graph.reserve(name)
    values: dict[str, str] = {}
    for index, node in enumerate(net.nodes):
        graph.scope, since = node.name, len(graph.nodes)
        step = Step(
            node.layer,
            [values[name] for name in node.bottom_names],
            [blob.shape for blob in node.bottoms],
            [blob.shape for blob in node.tops],
        )
        writer = _writer(node.layer.type)
        assert writer is not None
        if node.layer.type == "Input":
            values.update((name, name) for name in node.top_names)
            continue
        for name, made in zip(node.top_names, writer(graph, step), strict=True):
            renamed = last[name] == index and name != AUTOMATIC
            if renamed and graph.rename(made, name, since):
                made = name
            values[name] = made
    return values


def _model(net: Net, graph: Graph) -> Any:
    from minicaffe import __version__

    onnx = extra("onnx", "onnx", "an ONNX model")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    size = sum(array.nbytes for array in graph.constants.values())
    if size > LARGEST:
        raise NetError(f"the net's weights take {size} bytes; an ONNX file holds {LARGEST} at most")
    blobs = net.blob_dict
    made = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    node.operator, node.inputs, node.outputs, node.name, **node.attributes
                )
                for node in graph.nodes
            ],
            net.name or "net",
            [helper.make_tensor_value_info(n, real, blobs[n].shape) for n in net.input_names],
            [helper.make_tensor_value_info(n, real, blobs[n].shape) for n in net.output_names],
            [onnx.numpy_helper.from_array(each, name) for name, each in graph.constants.items()],
        ),
        producer_name="minicaffe",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(made, full_check=True)
    return made
