"""Drawings of nets: Caffe's graphs, and pictures with and without graphviz."""

import shutil
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydot
import pytest

from minicaffe import TEST, TRAIN
from minicaffe.cli import main
from minicaffe.errors import Error, NetError
from minicaffe.net.layered_layout import Layout
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from minicaffe.proto.text import parse_text
from minicaffe.pycaffe import draw as drawing
from minicaffe.pycaffe.draw import (
    Graph,
    Node,
    draw_net,
    draw_net_to_file,
    get_pydot_graph,
    net_graph,
)

NET = """
name: "tiny"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { batch_size: 64 } }
layer { name: "in" type: "Input" top: "data" exclude { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_h: 3 kernel_w: 5 stride: 2 } param { lr_mult: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "data" top: "sum" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "loss:0"
  include { phase: TRAIN } }
"""


@pytest.fixture
def net() -> pb.NetParameter:
    return parse_text(NET, pb.NetParameter())


def parse(text: str) -> Any:
    """A graph from its text; pydot's parser leans on what pyparsing deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = pydot.graph_from_dot_data(text)
    assert found is not None, "not a graph"
    return found[0]


def parts(dot: Any) -> Any:
    """A graph's direction, name, nodes with their styles, and edges, without quotation marks."""

    def plain(text: Any) -> str:
        return str(text).strip('"')

    def style(node: Any) -> Any:
        return sorted((key, plain(value)) for key, value in node.get_attributes().items())

    nodes = (node for node in dot.get_nodes() if plain(node.get_name()) not in ("\\n", "\n"))
    return (
        plain(dot.get_rankdir()),
        plain(dot.get_name()),
        sorted((plain(node.get_name()), style(node)) for node in nodes),
        sorted(
            (plain(edge.get_source()), plain(edge.get_destination()), plain(edge.get("label")))
            for edge in dot.get_edges()
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LR", {"rankdir": "LR"}),
        ("TB", {"rankdir": "TB", "display_lrm": True}),
        ("BT_test", {"rankdir": "BT", "phase": TEST}),
    ],
)
def test_graphs_are_caffes(goldens: Path, name: str, options: dict[str, Any]) -> None:
    caffes = parse((goldens / "pyapi" / f"draw_lenet_{name}.dot").read_text())
    ours = get_pydot_graph(read_net(goldens / "nets" / "lenet.prototxt"), **options)
    assert parts(parse(ours.to_string())) == parts(caffes)


def test_a_phase_has_its_own_layers(net: pb.NetParameter) -> None:
    of = {phase: net_graph(net, phase=phase).nodes for phase in (None, TRAIN, TEST)}
    assert {"data_Data", "loss_SoftmaxWithLoss"} <= of[TRAIN].keys() - of[TEST].keys()
    assert "in_Input" in of[TEST] and "in_Input" not in of[TRAIN]
    assert of[None].keys() == of[TRAIN].keys() | of[TEST].keys()
    net.layer[0].exclude.add(phase=TEST)
    with pytest.raises(NetError, match="'data' has both include and exclude"):
        net_graph(net, phase=TRAIN)


def test_labels_tell_the_numbers(net: pb.NetParameter) -> None:
    graph = net_graph(net, display_lrm=True)
    conv = ("conv", "(Convolution)", "kernel size: 3", "stride: 2", "pad: 0", "lr mult: 3.0")
    assert graph.nodes["conv_Convolution"].lines == conv
    assert ("conv_Convolution", "conv_blob", "8") in graph.edges
    assert ("data_Data", "data_blob", "Batch 64") in graph.edges
    assert all(label == "" for *_, label in net_graph(net, label_edges=False).edges)


def test_any_name_can_be_written(net: pb.NetParameter) -> None:
    """Colons would be ports, words of DOT its syntax, quotation marks the end."""
    net.layer[4].name, net.layer[4].top[0] = 'a "b"', "node"
    net.layer[5].bottom[0] = "node"
    dot = parse(get_pydot_graph(net, "LR").to_string())
    assert {"loss:0", "node"} <= {node.get_name().strip('"') for node in dot.get_nodes()}


@pytest.fixture
def no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.shutil, "which", lambda name: None)


@pytest.mark.skipif(not shutil.which("dot"), reason="graphviz's program dot is not installed")
def test_graphviz_draws(net: pb.NetParameter) -> None:
    assert draw_net(net, "LR", "png").startswith(b"\x89PNG")
    assert draw_net(net, "LR", "gif").startswith(b"GIF8")


@pytest.mark.parametrize(
    ("ext", "start"),
    [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("dot", b"digraph tiny")],
)
def test_pictures_without_graphviz(
    net: pb.NetParameter, no_graphviz: None, tmp_path: Path, ext: str, start: bytes
) -> None:
    draw_net_to_file(net, tmp_path / f"net.{ext}", "BT", phase=TRAIN)
    assert (tmp_path / f"net.{ext}").read_bytes().startswith(start)


def test_the_picture_shows_the_names(net: pb.NetParameter, no_graphviz: None) -> None:
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        text = draw_net(net, "TB", "svg").decode()
    for word in ("(Convolution)", "loss:0", "Batch 64", "#FF5050".lower()):
        assert word in text


def test_what_cannot_be_drawn(
    net: pb.NetParameter, no_graphviz: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Error, match="format 'gif' needs graphviz's program dot"):
        draw_net(net, "LR", "gif")
    with pytest.raises(Error, match="no extension"):
        draw_net_to_file(net, tmp_path / "picture")
    with pytest.raises(NetError, match="rankdir 'UP'"):
        draw_net(net, "UP")
    monkeypatch.setitem(__import__("sys").modules, "pydot", None)
    with pytest.raises(Error, match=r"minicaffe\[draw\]"):
        draw_net(net, "LR", "dot")


def test_the_empty_net_is_drawn(no_graphviz: None) -> None:
    assert draw_net(pb.NetParameter(), "LR").startswith(b"\x89PNG")


# --- the layout in layers ----------------------------------------------------------------------


def graph_of(edges: str) -> Graph:
    """Nodes named by letters: "ab bc" is a -> b -> c."""
    graph = Graph("g")
    for source, target in edges.split():
        for key in (source, target):
            graph.nodes.setdefault(key, Node((key * 10, key), {}))
        graph.edges.append((source, target, ""))
    return graph


GRAPHS = ["ab", "ab bc cd", "ab ac bd cd", "ab bc ac ad", "ab ba bc", "ab ac ad ae bf cf df ef af"]


@pytest.mark.parametrize("edges", GRAPHS)
@pytest.mark.parametrize("rankdir", drawing.DIRECTIONS)
def test_boxes_never_overlap(edges: str, rankdir: str) -> None:
    layout = Layout(graph_of(edges), rankdir)
    keys = list(layout.places)
    for i, one in enumerate(keys):
        for other in keys[:i]:
            apart = [
                abs(layout.places[one][axis] - layout.places[other][axis])
                >= (layout.sizes[one][axis] + layout.sizes[other][axis]) / 2
                for axis in (0, 1)
            ]
            assert any(apart), (one, other)


@pytest.mark.parametrize("edges", GRAPHS)
@pytest.mark.parametrize(
    ("rankdir", "axis", "sign"), [("LR", 0, 1), ("RL", 0, -1), ("TB", 1, -1), ("BT", 1, 1)]
)
def test_edges_lead_onwards(edges: str, rankdir: str, axis: int, sign: int) -> None:
    graph = graph_of(edges)
    layout = Layout(graph, rankdir)
    for (source, target, _), path in zip(graph.edges, layout.paths, strict=True):
        assert path[0] == layout.places[source] and path[-1] == layout.places[target]
        steps = [sign * (b[axis] - a[axis]) for a, b in pairwise(path)]
        back = source > target  # the edge that closes a circle
        assert all(step <= 0 if back else step >= 0 for step in steps)
        assert sum(steps) != 0


def test_the_command(no_graphviz: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    picture = tmp_path / "net.png"
    words = ["draw", str(tmp_path / "net.prototxt"), str(picture)]
    assert main([*words, "-rankdir=TB", "--phase", "TRAIN", "-display_lrm"]) == 0
    assert capsys.readouterr().out == f"{picture}: 6 layers\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*words, "-rankdir=UP"]) == 2
