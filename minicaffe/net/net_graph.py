"""The graph that is drawn of a net: layers and blobs as labelled nodes, in graphviz's styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import NetError
from ..proto import minicaffe_pb2 as pb

LAYER = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
IN_PLACE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}
COLOURS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}


@dataclass(frozen=True)
class Node:
    """A layer or a blob: the lines of its label, and graphviz's style of it."""

    lines: tuple[str, ...]
    style: dict[str, str]


@dataclass
class Graph:
    """Nodes by key, in order, and edges (from, to, label)."""

    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)


def net_graph(
    net: pb.NetParameter,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> Graph:
    """The layers and blobs of a net; of one phase's layers, if `phase` is given.

    `label_edges`: write the number of outputs (batch size for Data) on edges, or of the blobs that
    `shapes` names, what it says of them. `display_lrm`: write the lr_mult of parameters into
    Convolution, Deconvolution and InnerProduct. Layers of one name and type, of several phases,
    are one node; what their edges say stands there once, in lines.
    """
    graph = Graph(net.name or "Net")
    labels: dict[tuple[str, str], dict[str, None]] = {}
    for layer in net.layer:
        if phase is not None and not _included(layer, phase):
            continue
        key = f"{layer.name}_{layer.type}"
        graph.nodes[key] = _layer_node(layer, display_lrm)
        for name in layer.bottom:
            graph.nodes[f"{name}_blob"] = Node((name,), BLOB)
            labels.setdefault((f"{name}_blob", key), {})
        label = get_edge_label(layer) if label_edges else ""
        for name in layer.top:
            # What nobody reads keeps the default style.
            graph.nodes[f"{name}_blob"] = Node((name,), {})
            said = labels.setdefault((key, f"{name}_blob"), {})
            if shapes and name in shapes:
                said |= {} if name in layer.bottom else {shapes[name]: None}
            elif label:
                said[label] = None
    graph.edges = [(*ends, "\n".join(said)) for ends, said in labels.items()]
    return graph


def _included(layer: pb.LayerParameter, phase: int) -> bool:
    if layer.include and layer.exclude:
        raise NetError(f"layer '{layer.name}' has both include and exclude rules")
    if layer.include:
        return any(rule.phase == phase for rule in layer.include)
    return all(rule.phase != phase for rule in layer.exclude)


def layer_lines(layer: pb.LayerParameter, display_lrm: bool) -> list[str]:
    """The lines of a layer's label."""
    lines = [layer.name, f"({layer.type})"]
    if layer.type in ("Convolution", "Deconvolution"):
        conv = layer.convolution_param
        lines += _geometry(
            conv.kernel_size[0] if conv.kernel_size else conv.kernel_h or 1,
            conv.stride[0] if conv.stride else conv.stride_h or 1,
            conv.pad[0] if conv.pad else conv.pad_h,
        )
    elif layer.type == "Pooling":
        pool = layer.pooling_param
        lines[1] = f"(Pooling {pb.PoolingParameter.PoolMethod.Name(pool.pool)})"
        lines += _geometry(pool.kernel_size, pool.stride, pool.pad)
    if display_lrm and layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        lines.append(f"lr mult: {get_layer_lr_mult(layer)}")
    return lines


def get_layer_lr_mult(layer: pb.LayerParameter) -> str:
    """The learning rates' multipliers of a layer's parameters, as they are drawn."""
    return ", ".join(str(param.lr_mult) for param in layer.param) or "1.0"


def _layer_node(layer: pb.LayerParameter, display_lrm: bool) -> Node:
    lines = layer_lines(layer, display_lrm)
    if list(layer.bottom) == list(layer.top) and len(layer.top) == 1:
        return Node(tuple(lines), IN_PLACE)
    return Node(tuple(lines), LAYER | {"fillcolor": COLOURS.get(layer.type, LAYER["fillcolor"])})


def _geometry(kernel: int, stride: int, pad: int) -> list[str]:
    return [f"kernel size: {kernel}", f"stride: {stride}", f"pad: {pad}"]


def get_edge_label(layer: pb.LayerParameter) -> str:
    """What stands beside the arrows from a layer: the number of its outputs, or its batch size."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""
