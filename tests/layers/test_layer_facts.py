"""What a layer's class says of its type to those who ask: the schema, Spark, coordinates, costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import minicaffe
from minicaffe import layer as door
from minicaffe import layers as room
from minicaffe.layer import Layer, create_layer, known_types, layer_class, parameter_field
from minicaffe.net.cost import layer_cost
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.coord_map import UndefinedMapException, coord_map
from minicaffe.pycaffe.net_spec import NetSpec
from minicaffe.pycaffe.net_spec import layers as L
from tests.small_nets import small_net

FIELDS = pb.LayerParameter.DESCRIPTOR.fields_by_name


@pytest.mark.parametrize("layer_type", known_types())
def test_the_fields_that_a_class_names_are_there(layer_type: str) -> None:
    kind = layer_class(layer_type)
    if kind.parameters is not None:
        assert f"{kind.parameters}_param" in FIELDS
    for path in (*kind.reads, *kind.small_files, *kind.writes):
        fields = FIELDS
        *holders, field = path.split(".")
        for holder in holders:
            message = fields[holder].message_type
            assert message is not None
            fields = message.fields_by_name
        assert fields[field].type == FIELDS["name"].type  # a string


def test_relatives_read_one_message() -> None:
    assert {name: layer_class(name).parameters for name in known_types()
            if layer_class(name).parameters} == {
        "Convolution": "convolution", "Deconvolution": "convolution", "Im2col": "convolution",
        "LSTM": "recurrent", "RNN": "recurrent",
        "EuclideanLoss": "loss", "SoftmaxWithLoss": "loss", "SigmoidCrossEntropyLoss": "loss",
    }  # fmt: skip


def test_tops_that_lie_over_their_bottoms_are_pycaffes() -> None:
    kept = {name for name in known_types() if layer_class(name).positions == "kept"}
    assert kept == {
        "AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU", "Exp", "Log",
        "LRN", "MVN", "Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH",
        "Threshold",
    }  # fmt: skip


def test_the_field_of_a_types_parameters() -> None:
    assert parameter_field("ReLU") == "relu_param"
    assert parameter_field("HDF5Data") == "hdf5_data_param"
    assert parameter_field("RNN") == "recurrent_param"
    assert parameter_field("Python") == "python_param"
    assert parameter_field("Silence") is None


def test_which_source_feeds_a_layer() -> None:
    data = pb.LayerParameter(type="Data", data_param=pb.DataParameter(source="a", backend=1))
    memory = pb.LayerParameter(type="MemoryData", source_class="x.LMDB")
    memory.memory_data_param.source = "b"
    assert layer_class("Data").fed_by(data) == ("LMDB", "a")
    assert layer_class("MemoryData").fed_by(memory) == ("x.LMDB", "b")
    data.data_param.ClearField("backend")
    assert layer_class("Data").fed_by(data) == ("LevelDB", "a")
    assert Layer.fed_by(memory) is None
    assert {name for name in known_types() if layer_class(name).needs_no_input} == {
        "DummyData", "Input", "Parameter"
    }  # fmt: skip


def test_an_unknown_type_has_the_defaults() -> None:
    assert layer_class("Python") is Layer
    assert layer_class("NoSuchLayer") is Layer


@pytest.mark.parametrize(
    ("name", "module", "belongs"),
    [
        ("SoftmaxWithLoss", "softmax_with_loss", True),
        ("PReLU", "prelu", True),
        ("LSTMUnit", "lstm_unit", True),
        ("Data", "_data", False),
        ("Convolution", "deconvolution", False),
    ],
)
def test_the_file_of_a_class(name: str, module: str, belongs: bool) -> None:
    assert door.is_file_of(module, name) == belongs


class Untidy(Layer):
    """A layer of a user who sets attributes that Layer's class has too."""

    def setup(self, bottom: Any, top: Any) -> None:
        self.flops: Any = "many"
        self.__dict__.update(moves=True, shares=True, repeats=True, values_read=0, reads="all")

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = bottom[0].data

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        bottom[0].diff[...] = top[0].diff


def test_a_users_layer_costs_one_operation_a_value_whatever_it_calls_its_attributes() -> None:
    net = small_net(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 5 } } }'
        'layer { name: "L" type: "Python" bottom: "x" top: "y"'
        f' python_param {{ module: "{__name__}" layer: "Untidy" }} }}',
        "reference",
        force_backward=True,
    )
    cost = layer_cost(net, 1)
    assert (cost.forward_flops, cost.backward_flops) == (20, 20)
    assert (cost.forward_bytes, cost.backward_bytes) == (4 * 40, 4 * 60)


SHIFT = '''
from minicaffe.layer import Layer


class ShiftByOneLayer(Layer):
    """A layer of one file.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 } } }
        layer { type: "ShiftByOne" name: "y" bottom: "x" top: "y" bias_param { axis: 0 } }
    """

    parameters = "bias"
    positions = "kept"

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + 1
'''


@pytest.fixture
def one_more_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of layers that comes after the product's."""
    (tmp_path / "shift_by_one.py").write_text(SHIFT)
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    known_types.cache_clear()
    yield
    known_types.cache_clear()


@pytest.mark.usefixtures("one_more_layer")
def test_a_new_layer_is_one_file() -> None:
    n = NetSpec()
    n.x = L.Input(shape={"dim": [2, 3]})
    n.y = L.ShiftByOne(n.x, axis=0)
    param = n.to_proto()
    assert param.layer[1].bias_param.axis == 0
    assert param.layer[1].bias_param.HasField("axis")
    assert coord_map(n.y.fn)[0] is None
    net = minicaffe.net.net.Net(param, minicaffe.TEST, device="reference")
    net.forward_pass()
    assert net.blob_dict["y"].data.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert layer_cost(net, 1).forward_flops == 6


def test_without_its_file_it_is_unknown() -> None:
    with pytest.raises(UndefinedMapException):
        coord_map(L.ShiftByOne(L.Input()).fn)
    with pytest.raises(minicaffe.errors.LayerError, match="unknown layer type 'ShiftByOne'"):
        create_layer(pb.LayerParameter(type="ShiftByOne"), "cpu", minicaffe.TEST)
