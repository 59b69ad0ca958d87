"""Passes of phase TEST that are made of written-down kernel calls give what other passes give."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import kept
from minicaffe.errors import Error
from minicaffe.kernels.cpu._compile.jit import CHECKED, DISABLED
from minicaffe.layer import known_types, layer_class
from minicaffe.layer_example import example_net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

pytestmark = pytest.mark.skipif(DISABLED or CHECKED, reason="kernels are plain Python, or checked")

STEADY = [name for name in known_types() if layer_class(name).steady and name != "Input"]
INPUT = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } } """
NET = (
    INPUT
    + """
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "conv" top: "sum" }
layer { name: "relu2" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "loud" type: "Threshold" bottom: "pool" top: "loud" }
layer { name: "y" type: "InnerProduct" bottom: "pool" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
)


def net_of(text: str | pb.NetParameter = NET, **options: Any) -> Any:
    param = text if isinstance(text, pb.NetParameter) else parse_text(text, pb.NetParameter())
    return caffe.Net(param, caffe.TEST, device="cpu", **options)


def fill(net: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = random.standard_normal(net.blobs[name].shape)


def fill_parameters(net: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = random.uniform(0.5, 1, blob.shape)


def outputs(net: Any) -> dict[str, Any]:
    net.forward()
    return {name: net.blobs[name].data.copy() for name in net.outputs}


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a net that records nothing."""

    def of(*args: Any, **options: Any) -> Any:
        with monkeypatch.context() as changed:
            changed.setenv(kept.VARIABLE, "off")
            return net_of(*args, **options)

    return of


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = caffe.num_threads()
    caffe.set_num_threads(request.param)
    yield request.param
    caffe.set_num_threads(before)


@pytest.mark.parametrize("kind", STEADY)
def test_a_steady_layer(kind: str, plain: Any, threads: int) -> None:
    param = example_net(kind)
    net, other = net_of(param), plain(param)
    for seed in range(6):  # the first two passes go through Python, the others need not
        for each in (net, other):
            fill(each, seed)
            if seed in (0, 4):
                fill_parameters(each, seed)
        same(outputs(net), outputs(other))
    shares = layer_class(kind).shares
    assert shares or kind == "Dropout" or len(net.recording._calls) > 0


def test_a_net(plain: Any, threads: int) -> None:
    net, other = net_of(), plain()
    for seed in range(7):
        for each in (net, other):
            fill(each, seed)
            if seed in (0, 4):
                fill_parameters(each, seed)
        same(outputs(net), outputs(other))
        if seed in (2, 3, 6):
            recorded = {net.nodes[index].name for index in net.recording._calls}
            assert {"conv", "relu", "relu2", "pool", "y"} <= recorded
            assert "loud" not in recorded


def ready() -> Any:
    """A net whose next pass is made of calls."""
    net = net_of()
    fill_parameters(net, 1)
    for seed in (0, 1):
        fill(net, seed)
        net.forward()
    return net


def expected(plain: Any, net: Any) -> dict[str, Any]:
    other = plain()
    fill_parameters(other, 1)
    if net.blobs["x"].shape != other.blobs["x"].shape:
        other.blobs["x"].reshape(*net.blobs["x"].shape)
    other.blobs["x"].data[...] = net.blobs["x"].data
    return outputs(other)


def test_another_shape(plain: Any) -> None:
    net = net_of(NET.replace('"InnerProduct"', '"Softmax"'))
    other = plain(NET.replace('"InnerProduct"', '"Softmax"'))
    for shape in ((2, 3, 9, 8), (1, 3, 20, 21), (3, 3, 9, 8)):
        for each in (net, other):
            each.blobs["x"].reshape(*shape)
        for seed in range(4):
            for each in (net, other):
                fill(each, seed)
            if seed == 0:
                for name in other.params:
                    for mine, theirs in zip(other.params[name], net.params[name], strict=True):
                        mine.data[...] = theirs.data
            same(outputs(net), outputs(other))


def test_other_memory(plain: Any) -> None:
    net = ready()
    source = caffe.Net(parse_text(INPUT, pb.NetParameter()), caffe.TEST, device="cpu")
    net.blob_dict["x"].share_data(source.blob_dict["x"])
    for seed in range(4):
        fill(source, seed)
        same(outputs(net), expected(plain, net))


def test_a_part_of_the_layers(plain: Any) -> None:
    net = ready()
    fill(net, 5)
    net.forward(end="conv")
    for _ in range(4):
        net.blobs["conv"].data[...] = 1
        net.forward(start="sum", end="y")
    other = plain()
    fill_parameters(other, 1)
    other.blobs["conv"].data[...] = 1
    other.forward(start="sum", end="y")
    np.testing.assert_array_equal(net.blobs["y"].data, other.blobs["y"].data)
    fill(net, 6)
    same(outputs(net), expected(plain, net))


def test_a_callback_sees_every_layer(plain: Any) -> None:
    net = ready()
    seen: list[int] = []
    net.after_forward(seen.append)
    same(outputs(net), expected(plain, net))
    assert seen == list(range(len(net.nodes)))


def test_another_thread_writes_down_its_own(plain: Any) -> None:
    net = ready()
    found: list[dict[str, Any]] = []

    def work() -> None:
        found.extend(outputs(net) for _ in range(3))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for each in (*found, outputs(net), outputs(net), outputs(net)):
        same(each, expected(plain, net))


def test_an_error_in_the_middle(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = ready()
    layer = net.nodes[net.layer_index("loud")].layer
    with monkeypatch.context() as changed:
        changed.setattr(layer, "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            net.forward()
    for _ in range(4):
        same(outputs(net), expected(plain, net))


def test_memory_that_is_shared(plain: Any) -> None:
    net = net_of(share_memory=True)
    fill_parameters(net, 1)
    for seed in range(4):
        fill(net, seed)
        same(outputs(net), expected(plain, net))


def test_where_nothing_is_written_down(plain: Any) -> None:
    training = caffe.Net(parse_text(NET, pb.NetParameter()), caffe.TRAIN, device="cpu")
    on_reference = caffe.Net(parse_text(NET, pb.NetParameter()), caffe.TEST, device="reference")
    held = ready()
    weight = held.params["conv"][0].data
    for net in (training, on_reference, held, plain()):
        for _ in range(4):
            net.forward()
        assert not net.recording._calls
    del weight


def test_a_shape_that_does_not_fit_is_an_error_as_ever() -> None:
    net = ready()
    net.forward()
    net.blobs["x"].reshape(2, 5, 9, 8)
    with pytest.raises(Error, match="layer 'conv'"):
        net.forward()


class Rows(caffe.Layer):
    """Gives as many rows of ones as `rows` says, in its forward, as layers of data do."""

    rows = 0

    def setup(self, bottom: Any, top: Any) -> None:
        pass

    def reshape(self, bottom: Any, top: Any) -> None:
        if not top[0].count:
            top[0].reshape(3, 4)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].reshape(Rows.rows, 4)
        top[0].data[...] = 1

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        pass


def test_a_layer_that_reshapes_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers after it follow in the same pass, whether their calls were written down or not."""
    net = net_of(f"""
        layer {{ name: "rows" type: "Python" top: "rows"
          python_param {{ module: "{__name__}" layer: "Rows" }} }}
        layer {{ name: "twice" type: "Power" bottom: "rows" top: "twice"
          power_param {{ scale: 2 }} }}""")
    for rows in (3, 3, 3, 2, 2, 2, 5, 3):
        monkeypatch.setattr(Rows, "rows", rows)
        same(outputs(net), {"twice": np.full((rows, 4), 2, np.float32)})


def test_a_kernel_that_is_not_only_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    from minicaffe.kernels.cpu import inner_product

    real = inner_product.forward

    def forward(x: Any, weight: Any, bias: Any, y: Any, transpose: bool) -> None:
        real(x, weight, bias, y, transpose)
        y += 1  # which is no kernel

    monkeypatch.setattr(inner_product, "forward", forward)
    net = net_of()
    fill_parameters(net, 1)
    for seed in range(4):
        fill(net, seed)
        net.forward()
    recorded = {net.nodes[index].name for index in net.recording._calls}
    assert "conv" in recorded
    assert "y" not in recorded
    y = net.blobs["pool"].data.reshape(2, -1) @ net.params["y"][0].data.T + net.params["y"][1].data
    np.testing.assert_allclose(net.blobs["y"].data, y + 1, rtol=1e-5)


def test_a_layer_that_changes_parameters_of_those_after_it(
    plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, other = ready(), plain()
    fill_parameters(other, 1)
    for each in (net, other):
        layer = each.nodes[each.layer_index("loud")].layer
        weight = each.nodes[each.layer_index("y")].blobs[0].data

        def forward(*blobs: Any, real: Any = layer.forward, weight: Any = weight) -> None:
            weight[...] += 1
            real(*blobs)

        monkeypatch.setattr(layer, "forward", forward)
    for seed in range(4):
        for each in (net, other):
            fill(each, seed)
        same(outputs(net), outputs(other))
