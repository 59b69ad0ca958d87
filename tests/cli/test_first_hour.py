"""A newcomer's first hour: pictures with shapes, progress while kernels compile."""

import io
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.machine.compiling import Compiling
from minicaffe.monitor.progress import Progress
from minicaffe.proto.files import read_net
from minicaffe.pycaffe.draw import net_graph

BOTH = "".join(
    f'layer {{ name: "d" type: "DummyData" top: "x" include {{ phase: {phase} }}'
    f" dummy_data_param {{ shape {{ dim: {batch} dim: 3 }} }} }}\n"
    for phase, batch in (("TRAIN", 64), ("TEST", 100))
)
NET = f"""{BOTH}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param {{ num_output: 5 }} }}
layer {{ name: "r" type: "ReLU" bottom: "y" top: "y" }}
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path / "net.prototxt"


def drawn(*words: str) -> str:
    """The text of an SVG, whose letters are text."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        assert main(["draw", "net.prototxt", "net.svg", *words]) == 0
    return Path("net.svg").read_text()


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("words", "shown", "not_shown"),
    [
        ([], ["64 x 3", "100 x 3", "64 x 5", "100 x 5"], []),
        (["-phase", "TEST"], ["100 x 3", "100 x 5"], ["64 x"]),
        (["-phase=TRAIN", "-rankdir=TB"], ["64 x 3", "64 x 5"], ["100 x"]),
    ],
)
def test_shapes_stand_on_the_edges(
    words: list[str], shown: list[str], not_shown: list[str]
) -> None:
    picture = drawn(*words)
    assert [shape for shape in shown if shape not in picture] == []
    assert [shape for shape in not_shown if shape in picture] == []


@pytest.mark.usefixtures("net")
def test_a_net_that_cannot_be_built_is_drawn_without(capsys: pytest.CaptureFixture[str]) -> None:
    text = NET.replace('"DummyData"', '"Data"').replace("dummy_data_param", "#")
    Path("net.prototxt").write_text(text.replace("#", "data_param { source: 'gone' } } #"))
    assert "InnerProduct" in drawn()
    assert "no shapes are drawn: " in capsys.readouterr().err


def test_layers_of_one_name_have_one_edge_whose_label_has_lines(net: Path) -> None:
    graph = net_graph(read_net(str(net)), shapes={"x": "64 x 3\n100 x 3", "y": "64 x 5"})
    assert graph.edges[0] == ("d_DummyData", "x_blob", "64 x 3\n100 x 3")
    labels = [label for source, target, label in graph.edges if target == "y_blob"]
    assert labels == ["64 x 5", ""]  # what runs in place says it no more


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_bar_says_how_many_kernels_are_compiled() -> None:
    screen = Terminal()
    progress = Progress(10, stream=screen)
    progress.compiling(17, "relu._forward")
    assert "once: 17 so far (relu._forward)" in screen.getvalue()
    progress.close()


def test_off_a_terminal_a_line_now_and_then() -> None:
    screen = io.StringIO()
    progress = Progress(10, stream=screen)
    progress.compiling(0, "a.b")
    progress.compiling(1, "")
    assert screen.getvalue() == "compiling kernels for this machine, once: 0 so far (a.b)\n"


def test_a_compilation_is_told_to_who_asks() -> None:
    told: list[tuple[int, str]] = []
    compiling = Compiling(io.StringIO())
    compiling.tell = lambda count, name: told.append((count, name))
    compiling.begins("a")
    compiling.ends("a")
    assert told == [(0, "a"), (1, "")]
