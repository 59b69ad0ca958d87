"""Pictures of nets: pycaffe's `draw`, with graphviz where it is installed and without where not.

    draw_net_to_file(net_param, "net.png", rankdir="TB")

A net becomes a graph of layers and blobs. `get_pydot_graph` is pycaffe's, for the library pydot.
`draw_net_to_file` lets graphviz's program `dot` draw; where there is none, PNG, SVG and PDF are
drawn with matplotlib, in layers from the data to the loss. `shapes`, such as
{"conv1": "64 x 20 x 24 x 24"}, are written on the edges to those blobs.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import Error, NetError, extra
from ..machine.whole_file import whole_file
from ..net.net_graph import (
    BLOB,
    COLOURS,
    IN_PLACE,
    LAYER,
    Graph,
    Node,
    get_edge_label,
    get_layer_lr_mult,
    layer_lines,
    net_graph,
)
from ..proto import minicaffe_pb2 as pb

__all__ = [
    "BLOB",
    "COLOURS",
    "IN_PLACE",
    "LAYER",
    "Graph",
    "Node",
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
    "net_graph",
]

DIRECTIONS = ("LR", "RL", "TB", "BT")
KEYWORDS = ("node", "edge", "graph", "digraph", "subgraph", "strict")  # of DOT
TEXT_FORMATS = ("dot", "raw")


def get_layer_label(layer: pb.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """What stands in a layer's box: its name, type and geometry, in as many lines as fit."""
    return _separator(rankdir).join(layer_lines(layer, display_lrm))


def get_pooling_types_dict() -> dict[int, str]:
    """The names of the ways to pool, by number."""
    return {number: name for name, number in pb.PoolingParameter.PoolMethod.items()}


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of the boxes of a layer type."""
    return COLOURS.get(layertype, LAYER["fillcolor"])


def get_pydot_graph(
    caffe_net: pb.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> Any:
    """The graph as a pydot.Dot, from left to right (`rankdir` "LR", "RL") or upright ("TB", "BT").

    Raises MissingExtra without the library pydot.
    """
    pydot = extra("pydot", "draw", "a graph in graphviz's language")
    graph = net_graph(caffe_net, label_edges, phase, display_lrm, shapes)
    separator = _separator(rankdir)
    dot = pydot.Dot(graph.name, graph_type="digraph", rankdir=rankdir)
    nodes = {}
    for key, node in graph.nodes.items():
        nodes[key] = pydot.Node(_quoted(separator.join(node.lines)), **node.style)
        dot.add_node(nodes[key])
    for source, target, label in graph.edges:
        dot.add_edge(pydot.Edge(nodes[source], nodes[target], label=_quoted(label)))
    return dot


def _separator(rankdir: str) -> str:
    return " " if _checked(rankdir) in ("TB", "BT") else r"\n"


def _quoted(text: str) -> str:
    """A string of DOT, whatever it holds."""
    if re.fullmatch(r"[A-Za-z_]\w*|\d+", text, re.ASCII) and text.lower() not in KEYWORDS:
        return text
    escaped = text.replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def _checked(rankdir: str) -> str:
    if rankdir not in DIRECTIONS:
        raise NetError(f"rankdir '{rankdir}': {', '.join(DIRECTIONS)} are expected")
    return rankdir


def draw_net(
    caffe_net: pb.NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> bytes:
    """The picture's file, in format `ext`; "dot" (or "raw") is text in graphviz's language.

    Other formats are drawn by graphviz's program `dot`; where it is not installed, PNG, SVG and
    PDF by matplotlib. Raises Error for a format that cannot be made here.
    """
    if ext in TEXT_FORMATS:
        text: str = get_pydot_graph(
            caffe_net, rankdir, phase=phase, display_lrm=display_lrm, shapes=shapes
        ).to_string()
        return text.encode()
    if shutil.which("dot"):
        dot = get_pydot_graph(
            caffe_net, rankdir, phase=phase, display_lrm=display_lrm, shapes=shapes
        )
        picture: bytes = dot.create(format=ext)
        return picture
    from ._layered_drawing import FORMATS, draw_graph

    if ext not in FORMATS:
        raise Error(
            f"format '{ext}' needs graphviz's program dot, which is not installed;"
            f" without it there are: {', '.join((*TEXT_FORMATS, *FORMATS))}"
        )
    return draw_graph(
        net_graph(caffe_net, True, phase, display_lrm, shapes), _checked(rankdir), ext
    )


def draw_net_to_file(
    caffe_net: pb.NetParameter,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> None:
    """Draw a net to a file, in the format of its extension; see `draw_net`."""
    path = Path(filename)
    ext = path.suffix.lstrip(".").lower()
    if not ext:
        raise Error(f"{path} has no extension: .png, .svg, .dot ... say the format")
    picture = draw_net(caffe_net, rankdir, ext, phase, display_lrm, shapes)
    with whole_file(path) as beside:
        beside.write_bytes(picture)
