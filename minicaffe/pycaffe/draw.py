"""Pictures of nets: pycaffe's `draw`, with graphviz where it is installed and without where not.

    draw_net_to_file(net_param, "net.png", rankdir="TB")

A net becomes a graph of layers and blobs. `get_pydot_graph` is pycaffe's, for the library pydot.
`draw_net_to_file` lets graphviz's program `dot` draw; where there is none, PNG, SVG and PDF are
drawn with matplotlib, in layers from the data to the loss.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import Error, MissingExtra, NetError
from ..machine.whole_file import whole_file
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
DIRECTIONS = ("LR", "RL", "TB", "BT")
KEYWORDS = ("node", "edge", "graph", "digraph", "subgraph", "strict")  # of DOT
TEXT_FORMATS = ("dot", "raw")


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
) -> Graph:
    """The layers and blobs of a net; of one phase's layers, if `phase` is given.

    `label_edges`: write the number of outputs (batch size for Data) on edges. `display_lrm`: write
    the lr_mult of parameters into Convolution, Deconvolution and InnerProduct.
    """
    graph = Graph(net.name or "Net")
    for layer in net.layer:
        if phase is not None and not _included(layer, phase):
            continue
        key = f"{layer.name}_{layer.type}"
        graph.nodes[key] = _layer_node(layer, display_lrm)
        for name in layer.bottom:
            graph.nodes[f"{name}_blob"] = Node((name,), BLOB)
            graph.edges.append((f"{name}_blob", key, ""))
        label = _edge_label(layer) if label_edges else ""
        for name in layer.top:
            # What nobody reads keeps the default style.
            graph.nodes[f"{name}_blob"] = Node((name,), {})
            graph.edges.append((key, f"{name}_blob", label))
    return graph


def _included(layer: pb.LayerParameter, phase: int) -> bool:
    if layer.include and layer.exclude:
        raise NetError(f"layer '{layer.name}' has both include and exclude rules")
    if layer.include:
        return any(rule.phase == phase for rule in layer.include)
    return all(rule.phase != phase for rule in layer.exclude)


def _layer_node(layer: pb.LayerParameter, display_lrm: bool) -> Node:
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
        rates = ", ".join(str(param.lr_mult) for param in layer.param) or "1.0"
        lines.append(f"lr mult: {rates}")
    if list(layer.bottom) == list(layer.top) and len(layer.top) == 1:
        return Node(tuple(lines), IN_PLACE)
    return Node(tuple(lines), LAYER | {"fillcolor": COLOURS.get(layer.type, LAYER["fillcolor"])})


def _geometry(kernel: int, stride: int, pad: int) -> list[str]:
    return [f"kernel size: {kernel}", f"stride: {stride}", f"pad: {pad}"]


def _edge_label(layer: pb.LayerParameter) -> str:
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""


def get_pydot_graph(
    caffe_net: pb.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The graph as a pydot.Dot, from left to right (`rankdir` "LR", "RL") or upright ("TB", "BT").

    Raises MissingExtra without the library pydot.
    """
    pydot = _pydot()
    graph = net_graph(caffe_net, label_edges, phase, display_lrm)
    separator = " " if _checked(rankdir) in ("TB", "BT") else r"\n"
    dot = pydot.Dot(graph.name, graph_type="digraph", rankdir=rankdir)
    nodes = {}
    for key, node in graph.nodes.items():
        nodes[key] = pydot.Node(_quoted(separator.join(node.lines)), **node.style)
        dot.add_node(nodes[key])
    for source, target, label in graph.edges:
        dot.add_edge(pydot.Edge(nodes[source], nodes[target], label=_quoted(label)))
    return dot


def _quoted(text: str) -> str:
    """A string of DOT, whatever it holds."""
    if re.fullmatch(r"[A-Za-z_]\w*|\d+", text, re.ASCII) and text.lower() not in KEYWORDS:
        return text
    escaped = text.replace('"', r"\"")
    return f'"{escaped}"'


def _checked(rankdir: str) -> str:
    if rankdir not in DIRECTIONS:
        raise NetError(f"rankdir '{rankdir}': {', '.join(DIRECTIONS)} are expected")
    return rankdir


def _pydot() -> ModuleType:
    try:
        import pydot
    except ImportError as error:
        raise MissingExtra("pydot", "draw", "a graph in graphviz's language") from error
    module: ModuleType = pydot
    return module


def draw_net(
    caffe_net: pb.NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The picture's file, in format `ext`; "dot" (or "raw") is text in graphviz's language.

    Other formats are drawn by graphviz's program `dot`; where it is not installed, PNG, SVG and
    PDF by matplotlib. Raises Error for a format that cannot be made here.
    """
    if ext in TEXT_FORMATS:
        text: str = get_pydot_graph(
            caffe_net, rankdir, phase=phase, display_lrm=display_lrm
        ).to_string()
        return text.encode()
    if shutil.which("dot"):
        dot = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
        picture: bytes = dot.create(format=ext)
        return picture
    from ._layered_drawing import FORMATS, draw_graph

    if ext not in FORMATS:
        raise Error(
            f"format '{ext}' needs graphviz's program dot, which is not installed;"
            f" without it there are: {', '.join((*TEXT_FORMATS, *FORMATS))}"
        )
    return draw_graph(net_graph(caffe_net, True, phase, display_lrm), _checked(rankdir), ext)


def draw_net_to_file(
    caffe_net: pb.NetParameter,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net to a file, in the format of its extension; see `draw_net`."""
    path = Path(filename)
    ext = path.suffix.lstrip(".").lower()
    if not ext:
        raise Error(f"{path} has no extension: .png, .svg, .dot ... say the format")
    picture = draw_net(caffe_net, rankdir, ext, phase, display_lrm)
    with whole_file(path) as beside:
        beside.write_bytes(picture)
