"""NetSpec gives the prototxts that pycaffe's gives."""

from pathlib import Path

import pytest

from minicaffe import NetSpec, to_proto
from minicaffe import layers as L
from minicaffe.errors import NetError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import read_text
from minicaffe.pycaffe import params as P


def expected(goldens: Path, name: str) -> pb.NetParameter:
    net = pb.NetParameter()
    read_text(str(goldens / "pyapi" / name), net)
    return net


def test_a_lenet_like_net(goldens: Path) -> None:
    net = NetSpec()
    shape = [{"dim": [10, 1, 28, 28]}, {"dim": [10, 1, 1, 1]}]
    net.data, net.label = L.DummyData(shape=shape, ntop=2, transform_param={"scale": 1 / 255})
    net.conv1 = L.Convolution(
        net.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"}
    )
    net.pool1 = L.Pooling(net.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    wanted = expected(goldens, "netspec_lenet_like.prototxt")
    given = net.to_proto()
    assert list(given.layer) == list(wanted.layer)[: len(given.layer)]


def test_names_of_their_own_for_tops_without_one(goldens: Path) -> None:
    data = L.DummyData(shape={"dim": [2, 3]})
    product = L.InnerProduct(data, num_output=4)
    rectified = L.ReLU(product)
    both = L.Eltwise(product, rectified, operation=P.Eltwise.PROD)
    assert to_proto(both) == expected(goldens, "netspec_anonymous.prototxt")


def test_a_layer_without_tops(goldens: Path) -> None:
    net = NetSpec()
    net.data, net.label = L.DummyData(shape={"dim": [1]}, ntop=2)
    net.silence = L.Silence(net.data, net.label, ntop=0)
    assert net.to_proto() == expected(goldens, "netspec_zero_tops.prototxt")


def test_in_place_layers_keep_the_name_of_their_bottom() -> None:
    net = NetSpec()
    net.data = L.Input(shape={"dim": [1, 2]})
    net.relu = L.ReLU(net.data, in_place=True)
    net.ip = L.InnerProduct(net.relu, num_output=1)
    layers = net.to_proto().layer
    assert [(list(layer.bottom), list(layer.top)) for layer in layers[1:]] == [
        (["data"], ["data"]),
        (["data"], ["ip"]),
    ]
    assert layers[1].name == "relu"


def test_what_is_no_top_or_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"input 0 is not a Top \(type is <class 'str'>\)$"):
        L.Convolution("data")
    with pytest.raises(NetError, match="no field 'kernel'"):
        to_proto(L.Convolution(L.Input(shape={"dim": [1]}), kernel=3))
    with pytest.raises(AttributeError, match="MAX"):
        _ = P.Pooling.MEDIAN
