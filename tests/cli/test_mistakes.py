"""What people get wrong, one after the other: each ends in one sentence, with place and remedy."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe.cli import main
from minicaffe.errors import UnknownName

NET = """name: "tiny"
layer { name: "x" type: "DummyData" top: "x" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "mine" type: "Python" bottom: "conv" top: "mine"
  python_param { module: "own_layers" layer: "Twice" } }
layer { name: "ip" type: "InnerProduct" bottom: "mine" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

SOLVER = """net: "nets/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2
snapshot_prefix: "tiny" random_seed: 3
"""

LAYER = """import caffe
import numpy as np


class Twice(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = 2

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.factor * top[0].diff
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A solver in the working directory, its net and a Python layer beside it in another."""
    folder = tmp_path / "nets"
    folder.mkdir()
    (folder / "net.prototxt").write_text(NET)
    (folder / "own_layers.py").write_text(LAYER)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in ("own_layers", "other_layers"):
        sys.modules.pop(name, None)


def told(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says about its error, besides its log."""
    assert main(words.split()) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if not re.match(r"[IW]\d{4} ", line)]
    return line


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_without_a_mistake_it_trains(project: Path) -> None:
    """Which shows that a layer beside the prototxt is found, from another folder."""
    assert main(["train", "-solver", "solver.prototxt", "-device", "reference"]) == 0


def test_a_layer_in_the_working_directory_is_found(project: Path) -> None:
    (project / "nets" / "own_layers.py").rename(project / "own_layers.py")
    assert main(["train", "-solver", "solver.prototxt", "-device", "reference"]) == 0


# --- the net's prototxt ---------------------------------------------------------------------------

P = r"nets/net\.prototxt"
NETS = [
    ('"Convolution"', '"Convolutoin"',
     rf"unknown layer type 'Convolutoin' \(nearest: .*Convolution.*\) \({P}:5\)"),
    ("num_output: 2 k", "num_outptu: 2 k",
     rf"{P}:6:\d+: .*no field 'num_outptu'; did you mean 'num_output'"),
    ('top: "conv"\n', 'top: "conv" }\n', rf"{P}:6:\d+: "),
    ('layer: "Twice" } }', 'layer: "Twice" }',
     rf"{P}:7:\d+: .*never closed|{P}:9:\d+: .*not closed"),
    ('bottom: "conv" top: "mine"', 'bottom: "cnov" top: "mine"',
     rf"layer 'mine'.*unknown blob 'cnov'.*; did you mean 'conv'\? \({P}:7\)"),
    ('top: "conv"\n', 'top: "label"\n',
     rf"layer 'conv': top blob 'label' has a producer already, layer 'x': give it "
     rf"another name \({P}:5\)"),
    ("kernel_size: 3", "kernel_size: 9", rf"layer 'conv' .*kernel.* \({P}:5\)"),
    ("kernel_size: 3", "kernel_size: 0", rf"layer 'conv' .*kernel.* \({P}:5\)"),
    ("kernel_size: 3", "kernel_size: -3", rf"{P}:6:\d+: -3 is out of range"),
    ("kernel_size: 3", 'kernel_size: "3"', rf"{P}:6:\d+: expected an integer for 'kernel_size'"),
    ("kernel_size: 3", "stride: 1", rf"layer 'conv' .*kernel.* \({P}:5\)"),
    ("num_output: 2 k", "k", rf"layer 'conv' .*num_output.* \({P}:5\)"),
    ('"xavier"', '"xaiver"', rf"no filler 'xaiver' .*layer 'conv' \(Convolution\) \({P}:5\)"),
    ('bottom: "ip" bottom: "label"', 'bottom: "ip"',
     rf"layer 'loss' .*takes 2 .*bottom.* \({P}:11\)"),
    ("shape { dim: 4 }", "shape { dim: 3 }",
     rf"layer 'loss' .*their shapes are \(4, 2\) and \(3,\) \({P}:11\)"),
    ("value: 1", "value: 7", rf"layer 'loss' .*label.*7.* \({P}:11\)"),
    ('top: "loss"', 'top: "loss" loss_weight: 1 loss_weight: 2',
     rf"layer 'loss' .*loss_weight.* \({P}:11\)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "wanted"), NETS, ids=lambda text: text[:24])
def test_a_mistake_in_a_net(
    project: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, wanted: str
) -> None:
    edit(project / "nets" / "net.prototxt", old, new)
    assert re.search(wanted, told("train -solver solver.prototxt -device reference", capsys))


def test_the_line_is_that_of_the_phases_layer(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two layers of one name, and a Split between: the third layer's line is the third's."""
    net = project / "nets" / "net.prototxt"
    twice = NET.split("layer {")[1]
    head = "layer {" + twice.rstrip()[:-1] + " include { phase: TEST } }\n"
    train = "layer {" + twice.rstrip()[:-1] + " include { phase: TRAIN } }\n"
    rest = NET.split(twice)[1].replace('"xavier"', '"xaiver"')
    net.write_text('name: "tiny"\n' + head + train + rest)
    assert "(nets/net.prototxt:8)" in told("train -solver solver.prototxt", capsys)
    net.write_text('name: "tiny"\n' + head + train.replace("DummyData", "DummyDat") + rest)
    assert "(nets/net.prototxt:5)" in told("train -solver solver.prototxt", capsys)


def test_a_net_within_a_solver_has_lines_too(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = NET.replace('"xavier"', '"xaiver"')
    (project / "solver.prototxt").write_text(
        SOLVER.replace('net: "nets/net.prototxt"', "net_param {\n" + net + "}\n")
    )
    assert told("train -solver solver.prototxt", capsys).endswith("(solver.prototxt:6)")


# --- the command line -----------------------------------------------------------------------------

TRAIN = "train -solver solver.prototxt"
COMMANDS = [
    ("trian", r"no command 'trian'; the nearest: train"),
    ("train", r"a solver is needed to train: -solver FILE"),
    ("train -sovler solver.prototxt", r"-sovler.*nearest: -solver"),
    ("train -solver", r"-solver"),
    ("train -solver solvre.prototxt", r"solvre\.prototxt: cannot be read: No such file"),
    ("train -solver nets/net.prototxt",
     r"nets/net\.prototxt:1:1: .*no field 'name'; it belongs in 'net_param'"),
    (f"{TRAIN} -weights w.caffemodel", r"w\.caffemodel.*(?:No such file|cannot be read|no file)"),
    (f"{TRAIN} -weights nets/net.prototxt",
     r"nets/net\.prototxt: truncated, or not a NetParameter"),
    (f"{TRAIN} -snapshot s.solverstate",
     r"s\.solverstate.*(?:No such file|cannot be read|no file)"),
    (f"{TRAIN} -snapshot a -weights b", r"-snapshot to resume or -weights to fine-tune, not both"),
    (f"{TRAIN} -device tpu", r"no device 'tpu' \(there are: .*cpu,.* reference"),
    (f"{TRAIN} -gpu x", r"-gpu x: a card's number is expected"),
    (f"{TRAIN} -gpu 0,1", r"-gpu 0,1: this command runs on one card"),
    (f"{TRAIN} -device cpu -gpu 0", r"-device and -gpu name a device each: give one of them"),
    (f"{TRAIN} -precision tf32", r"-precision tf32 is for the device cuda, not for cpu"),
    (f"{TRAIN} -level high", r"-level.*invalid int value: 'high'"),
    (f"{TRAIN} solver.prototxt", r"unrecognized arguments: solver\.prototxt"),
    (f"{TRAIN} -sigint_effect quit", r"-sigint_effect.*quit.*stop"),
    ("test -model nets/net.prototxt", r"-weights"),
    ("summary -model none.prototxt", r"none\.prototxt: cannot be read: No such file"),
    ("time -model nets/net.prototxt -phase TRIAN", r"-phase.*TRIAN.*TRAIN"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "wanted"), COMMANDS, ids=lambda text: text[-24:])
def test_a_mistake_on_the_command_line(
    project: Path, capsys: pytest.CaptureFixture[str], words: str, wanted: str
) -> None:
    assert re.search(wanted, told(words, capsys))


def test_a_snapshot_prefix_of_another_folder(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project / "solver.prototxt", '"tiny"', '"lost/tiny"')
    wanted = (
        r"'lost/tiny'.*directory must exist.*paths in a solver count from the working directory"
    )
    assert re.search(wanted, told(TRAIN, capsys))


@pytest.mark.parametrize("field", ["net", "train_net", "test_iter: 1 test_interval: 1 test_net"])
def test_a_net_of_another_folder(
    project: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    lost = 'net: "nets/net.prototxt" ' if "test" in field else ""
    edit(project / "solver.prototxt", 'net: "nets/net.prototxt"', f'{lost}{field}: "lost.prototxt"')
    assert told(TRAIN, capsys) == (
        "minicaffe: error: lost.prototxt: cannot be read: No such file or directory"
        " (paths in a solver count from the working directory)"
    )


# --- Python layers --------------------------------------------------------------------------------

L = r"nets/own_layers\.py"
LAYERS = [
    ("import numpy as np", "import tensorflw",
     rf"{L}:2 imports 'tensorflw', which is not installed"),
    ("import numpy as np", "from numpy import zeroes",
     rf"{L}:2: ImportError: cannot import name 'zeroes'"),
    ("import numpy as np", "raise SystemExit(3)", rf"{L}:2: SystemExit: 3"),
    ("class Twice(caffe.Layer):", "class Twice(caffe.Layer)",
     rf"{L}:5:\d+: SyntaxError: expected ':'"),
    ("        self.factor = 2", "      self.factor = 2\n        x",
     rf"{L}:8:\d+: IndentationError: "),
    ("Twice", "Twicee", r"own_layers\.Twice is not a class .*; did you mean 'Twicee'\?"),
    ("caffe.Layer", "caffe.Layr", rf"{L}:5: AttributeError: module .* has no attribute 'Layr'"),
    ("def reshape", "def rehsape", rf"Twice does not define reshape\(bottom, top\): add it in {L}"),
    ("self.factor = 2", "self.factor = tow",
     rf"Twice\.setup, {L}:7: NameError: name 'tow' is not defined"),
    ("*bottom[0].data.shape", "*bottom[1].data.shape",
     rf"Twice\.reshape, {L}:10: IndexError: list index out of range"),
    ("self.factor * bottom[0].data", "bottom[0].data @ np.ones(7)",
     rf"Twice\.forward, {L}:13: ValueError: "),
    ("bottom[0].diff[...] =", "bottom[0].dif[...] =",
     rf"Twice\.backward, {L}:16: AttributeError: .*'dif'"),
    ("*bottom[0].data.shape", "4", r"layer 'ip' .*axis 1 is outside a blob of shape \(4,\)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "wanted"), LAYERS, ids=lambda text: text[:24])
def test_a_mistake_in_a_python_layer(
    project: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, wanted: str
) -> None:
    """The sentence has the layer, what is wrong in which file, and the prototxt's line."""
    edit(project / "nets" / "own_layers.py", old, new)
    said = told(f"{TRAIN} -device reference", capsys)
    assert re.search(wanted, said)
    assert re.search(r"layer '(mine' \(Python\)|ip').* \(nets/net\.prototxt:(7|9)\)$", said)


def test_a_module_that_is_not_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(project / "nets" / "net.prototxt", "own_layers", "lost_layers")
    said = told(TRAIN, capsys)
    assert "layer 'mine' (Python): no module 'lost_layers' on PYTHONPATH, beside the" in said
    assert ": lost_layers.py is expected in one of them (" in said
    assert said.endswith("(nets/net.prototxt:7)")


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (
            "own_layers.py",
            "no module 'own_layers.py' .*a module is named without .py: 'own_layers'",
        ),
        ("own_layers.Twice", "no module 'own_layers.Twice' .*own_layers/Twice.py is expected"),
        ("nets..own_layers", "'nets..own_layers' is no name of a module, such as layers or"),
        (".own_layers", "'.own_layers' is no name of a module"),
    ],
)
def test_a_module_by_a_wrong_name(
    project: Path, capsys: pytest.CaptureFixture[str], module: str, says: str
) -> None:
    edit(project / "nets" / "net.prototxt", "own_layers", module)
    said = told(TRAIN, capsys)
    assert re.search(rf"layer 'mine' \(Python\): {says}", said)
    assert said.endswith("(nets/net.prototxt:7)")


def test_a_module_that_another_hides(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is installed comes first, as by every import; the sentence names the file behind it."""
    (project / "nets" / "own_layers.py").rename(project / "nets" / "json.py")
    edit(project / "nets" / "net.prototxt", "own_layers", "json")
    said = told(TRAIN, capsys)
    assert "json.Twice is not a class derived from minicaffe.Layer (" in said
    assert said.endswith(
        "; it comes before nets/json.py, which needs another name (nets/net.prototxt:7)"
    )


# --- names in a program ---------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["blobs", "params", "layer_dict", "top_names", "bottom_names"])
def test_an_unknown_name_tells_the_nearest(project: Path, what: str) -> None:
    net = minicaffe.Net("nets/net.prototxt", minicaffe.TRAIN, device="reference")
    with pytest.raises(
        UnknownName, match=r"no .* 'covn' in the net; did you mean 'conv'\?"
    ) as told:
        getattr(net, what)["covn"]
    assert isinstance(told.value, KeyError)
    assert "covn" not in getattr(net, what)
    assert getattr(net, what).get("covn") is None


@pytest.mark.parametrize("what", ["data", "diff"])
def test_a_blob_is_filled_not_replaced(project: Path, what: str) -> None:
    net = minicaffe.Net("nets/net.prototxt", minicaffe.TRAIN, device="reference")
    with pytest.raises(AttributeError, match=rf"write blob\.{what}\[\.\.\.\] = values"):
        setattr(net.blobs["conv"], what, np.zeros(3))
