"""Users' Python layers may call their attributes anything: none of Layer's names is taken."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import minicaffe as caffe
from minicaffe.layer import Layer
from minicaffe.net.cost import layer_cost

PYCAFFES = {"setup", "reshape", "forward", "backward", "blobs", "type", "phase", "param_str"}
# What a layer has besides: attributes of the class, and those that __init__ sets.
OURS = sorted(
    ({name for name in vars(Layer) if not name.startswith("_")} - PYCAFFES)
    | {"name", "param", "missing", "device", "ops", "kernel", "batches"}
)
LAYERS = """
import caffe

class Plain(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = bottom[0].data
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = top[0].diff

class OnTheLayer(Plain):
    def setup(self, bottom, top): setattr(self, self.param_str, 7)

class OnTheClass(Plain):
    pass

class OwnInit(Plain):
    def __init__(self, param):
        caffe.Layer.__init__(self, param)
        self.kept = param.name

class ManyArguments(Plain):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = args[0].name

class NoInit(Plain):
    def __init__(self, param):
        self.kept = param.name
"""
NET = """
layer {{ name: "d" type: "DummyData" top: "x" top: "y"
        dummy_data_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
        inner_product_param {{ num_output: 3 }} }}
layer {{ name: "p" type: "Python" bottom: "ip" top: "p"
        python_param {{ module: "free_names" layer: "{layer}" param_str: "{text}" }} }}
layer {{ name: "l" type: "EuclideanLoss" bottom: "p" bottom: "y" top: "l" }}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of layers, which is on the path."""
    (tmp_path / "free_names.py").write_text(textwrap.dedent(LAYERS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("free_names", None)


def train(layer: str, text: str = "") -> caffe.SGDSolver:
    """Build, train, snapshot, restore, test, count and close: all that the core asks of a layer."""
    Path("net.prototxt").write_text(NET.format(layer=layer, text=text))
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "s"'
    )
    solver = caffe.get_solver("solver.prototxt")
    solver.step(1)
    solver.snapshot()
    solver.restore("s_iter_1.solverstate")
    solver.step(1)
    assert layer_cost(solver.net, 2).forward_flops == 6
    solver.net.close()
    caffe.Net("net.prototxt", caffe.TEST, share_memory=True).forward()
    return solver


@pytest.mark.usefixtures("folder", "on_reference")
@pytest.mark.parametrize("name", OURS)
def test_an_attribute_of_a_layer_may_have_any_name(name: str) -> None:
    solver = train("OnTheLayer", name)
    assert getattr(solver.net.layers[2], name) == 7


@pytest.mark.usefixtures("folder", "on_reference")
@pytest.mark.parametrize("value", ['"gauss"', '("gauss", "box")', "(3, 5)", "lambda self: 7"])
@pytest.mark.parametrize("name", OURS)
def test_an_attribute_of_its_class_too(name: str, value: str, folder: Path) -> None:
    text = LAYERS.replace("(Plain):\n    pass", f"(Plain):\n    {name} = {value}")
    (folder / "free_names.py").write_text(text)
    train("OnTheClass")


@pytest.mark.usefixtures("folder", "on_reference")
@pytest.mark.parametrize("layer", ["OwnInit", "ManyArguments", "NoInit"])
def test_a_layers_own_init_takes_one_argument(layer: str) -> None:
    made = train(layer, "kept").net.layers[2]
    assert (made.kept, made.param_str, made.phase) == ("p", "kept", caffe.TRAIN)
