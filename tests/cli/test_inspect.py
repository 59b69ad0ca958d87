"""`minicaffe inspect`: a layer's chain in one screen, JSON, errors in one line."""

import json
import shutil
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.inspection.as_json import loads
from minicaffe.inspection.facts import Page

NET = """name: "small"
layer {
  name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 64 channels: 1 height: 8 width: 8 }
}
layer {
  name: "conv1" type: "Convolution"
  bottom: "data" top: "conv1"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""
QUICK = ["-device", "reference", "-devices", "reference", "-iterations", "1", "-dummy"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.prototxt").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inspect(*words: str, model: str = "net.prototxt") -> int:
    return main(["inspect", "-model", model, *QUICK, *words])


def test_from_a_line_of_the_prototxt_to_the_kernels_in_one_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert inspect("-layer", "conv1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 48 and max(map(len, lines)) <= 104
    text = "\n".join(lines)
    for said in (
        "conv1 (Convolution)",
        "prototxt   net.prototxt:6-10",
        '     7   name: "conv1" type: "Convolution"',
        "layer      layers/convolution.py:",
        "y[n, o, p] = b[o] +",
        "data -> conv1 (4, 3, 6, 6)",
        "parameters 0 (3, 1, 3, 3), 1 (3,)",
        "way, forward: im2col (the only one)",
        "forward    convolution.forward",
        "x (4, 1, 8, 8) float32, weight (3, 1, 3, 3) float32",
        "kernels/reference/convolution.py:",
        "backward   convolution.backward_weight",
    ):
        assert said in text


def test_several_layers_and_what_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect("-layer", "relu1", "ip1") == 0
    told = capsys.readouterr()
    assert "relu1 (ReLU)" in told.out and "ip1 (InnerProduct)" in told.out
    assert "layer 'data' (MemoryData) is replaced by made-up data: data (4, 1, 8, 8)" in told.err


def test_json_fits_the_schema(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert inspect("-format", "json", "-o", "net.json") == 0
    assert capsys.readouterr().out.startswith("net.json: ")
    page = loads(Page, (folder / "net.json").read_text(encoding="utf-8"))
    assert page.prototxt.text == NET and page.made.batch == 4
    assert [(layer.first, layer.last) for layer in page.layers] == [
        (2, 5), (6, 10), (11, 11), (12, 13), (14, 14)
    ]  # fmt: skip
    assert inspect("-format", "json", "-batch", "0", "-phase", "TEST") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["layers"][1]["blobs"][0]["shape"] == [64, 3, 6, 6]
    assert {call["pass"] for layer in data["layers"] for call in layer["calls"]} == {"forward"}


def test_a_page_is_written_beside_where_one_works(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    for library in ("jinja2", "pygments", "matplotlib"):
        pytest.importorskip(library)
    assert inspect() == 0
    assert capsys.readouterr().out.startswith("net.html: ")
    assert (folder / "net.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_kernel_family_by_a_small_net(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *QUICK, "-kernel", "relu"]) == 0
    shown = capsys.readouterr().out
    assert "prototxt   docstring of ReLULayer:2" in shown and "x (Input)" not in shown


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("-model none.prototxt", 1, "none.prototxt: cannot be read: No such file or directory"),
        ("-model net.prototxt -layer conv", 1, "-layer conv: the net has no such layer; did you"),
        ("-model net.prototxt -shape data", 2, "-shape data: a blob and its extents are expected"),
        ("-model net.prototxt -shape data:0,1", 2, "-shape data:0,1: a blob and its extents"),
        ("-model net.prototxt -devices gpu", 2, "-devices: no device 'gpu' (there are: "),
        ("-model net.prototxt -iterations 0", 2, "-iterations 0: at least 1 is expected"),
        ("-model net.prototxt -batch -1", 2, "-batch"),
        ("-model net.prototxt -kernel nothing", 1, "-kernel nothing: these layers call no such"),
        ("-kernel nothing", 1, "-kernel nothing: no device has such a kernel family"),
        ("-ring 1", 2, "-ring 1: at least 2 ranks are expected"),
        ("", 2, "a model is needed: -model FILE"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: str, status: int, said: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    quick = QUICK if "-devices" not in words else QUICK[:2]
    assert main(["inspect", *quick, *words.split()]) == status
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert [each.name for each in folder.iterdir()] == ["net.prototxt"]


def test_a_file_of_weights_is_taken(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    shutil.copy("net.prototxt", "none.caffemodel")
    assert inspect("-weights", "none.caffemodel", "-layer", "ip1") == 1
    assert "none.caffemodel: " in capsys.readouterr().err
