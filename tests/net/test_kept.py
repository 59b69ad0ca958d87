"""What a net of phase TEST has prepared from its parameters follows them, by whatever door."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import kept
from minicaffe.blob import Blob
from minicaffe.errors import Error
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver

# For one image these go directly, as products of matrices, by a filtering, and as the gradient of a
# convolution.
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 16 dim: 24 dim: 24 } } }
layer { name: "direct" type: "Convolution" bottom: "x" top: "direct"
  convolution_param { num_output: 20 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "pointwise" type: "Convolution" bottom: "direct" top: "pointwise"
  convolution_param { num_output: 64 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "up" type: "Deconvolution" bottom: "pointwise" top: "up"
  convolution_param { num_output: 64 kernel_size: 4 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "filtered" type: "Convolution" bottom: "up" top: "filtered"
  convolution_param { num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "y" type: "InnerProduct" bottom: "filtered" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
LOSS = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "label" top: "loss" }
"""
LAYERS = ("direct", "pointwise", "up", "filtered", "y")


def net_of(text: str = NET, phase: int = caffe.TEST) -> Any:
    net = caffe.Net(parse_text(text, pb.NetParameter()), phase, device="cpu")
    net.blobs["x"].data[...] = np.random.default_rng(3).standard_normal(net.blobs["x"].shape)
    return net


def forward(net: Any) -> Any:
    net.forward()
    return net.blobs["y"].data.copy()


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """What a net would give that keeps nothing."""

    def of(net: Any) -> Any:
        with monkeypatch.context() as changed:
            changed.setenv(kept.VARIABLE, "off")
            other = net_of()
        for layer in net.params:
            theirs = net.layer_dict[layer].blobs  # only read: a loan would be a change
            for mine, blob in zip(other.params[layer], theirs, strict=True):
                mine.data[...] = blob.data.read("cpu").reshape(mine.shape)
        other.blobs["x"].data[...] = net.blobs["x"].data
        return forward(other)

    return of


# --- doors: each changes weights after every `yield`, while the net runs -------------------------


def asked_for_each_time(net: Any, layer: str) -> Iterator[None]:
    for factor in (2, 3):
        yield
        net.params[layer][0].data[...] *= factor
        net.params[layer][1].data[0] += factor


def held(net: Any, layer: str) -> Iterator[None]:
    weight = net.params[layer][0].data
    for _ in range(3):
        yield
        weight *= 2


def a_part_is_held(net: Any, layer: str) -> Iterator[None]:
    part = net.params[layer][0].data.reshape(-1)[3:7][::2]
    for _ in range(3):
        yield
        part[...] += 1


def a_memoryview_is_held(net: Any, layer: str) -> Iterator[None]:
    buffer = memoryview(net.params[layer][0].data)
    for _ in range(2):
        yield
        np.asarray(buffer)[...] *= 3


def held_and_given_back(net: Any, layer: str) -> Iterator[None]:
    weight = net.params[layer][0].data
    yield
    weight *= 2
    del weight
    yield


def the_bias_is_held(net: Any, layer: str) -> Iterator[None]:
    bias = net.params[layer][1].data
    for _ in range(2):
        yield
        bias += 1


def the_flat_parameters(net: Any, layer: str) -> Iterator[None]:
    flat = net.flat_params.data
    yield
    flat[...] *= 2
    yield
    flat.overwrite("cpu", 0.5)
    yield
    changing = flat.update("cpu")
    yield
    changing *= 0.5
    yield
    changing += 0.25


def the_core_blob(net: Any, layer: str) -> Iterator[None]:
    blob = net.layer_dict[layer].blobs[0]
    yield
    blob.data[0] = 7
    yield
    blob.data.write("cpu")[...] = 0.01
    yield
    np.multiply(blob.data, 3, out=blob.data)


def a_file(net: Any, layer: str) -> Iterator[None]:
    other = net_of()
    other.save("weights.caffemodel")
    other.save_hdf5("weights.h5")
    for name in ("weights.caffemodel", "weights.h5"):
        yield
        net.copy_from(name)
        yield
        net.params[layer][0].data[...] = 0.01


def another_net_of_the_same_weights(net: Any, layer: str) -> Iterator[None]:
    other = net_of()
    yield
    net.share_with(other)
    yield
    other.params[layer][0].data[...] *= 2
    weight = other.params[layer][0].data
    yield
    weight *= 2


def one_blob_shares(net: Any, layer: str) -> Iterator[None]:
    other = net_of()
    mine, theirs = net.layer_dict[layer].blobs[0], other.layer_dict[layer].blobs[0]
    yield
    mine.share_data(theirs)
    yield
    other.params[layer][0].data[...] *= 2


def a_blob_of_no_net_shares(net: Any, layer: str) -> Iterator[None]:
    mine = net.layer_dict[layer].blobs[0]
    blob = Blob(mine.shape)
    yield
    mine.share_data(blob)
    weight = blob.data.update("cpu")
    yield
    weight[...] = 0.01


DOORS = (
    asked_for_each_time, held, a_part_is_held, a_memoryview_is_held, held_and_given_back,
    the_bias_is_held, the_flat_parameters, the_core_blob, a_file, another_net_of_the_same_weights,
    one_blob_shares, a_blob_of_no_net_shares,
)  # fmt: skip


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_door(
    door: Callable[[Any, str], Iterator[None]],
    expected: Callable[[Any], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    net = net_of()
    for layer in LAYERS:
        forward(net)
        for _ in door(net, layer):
            forward(net)
            np.testing.assert_array_equal(forward(net), expected(net))
        np.testing.assert_array_equal(forward(net), expected(net))
        np.testing.assert_array_equal(forward(net), expected(net))


def test_a_solvers_test_net_follows_its_updates(expected: Callable[[Any], Any]) -> None:
    param = pb.SolverParameter(base_lr=0.1, lr_policy="fixed", max_iter=9, test_interval=1)
    param.test_iter.append(1)
    param.test_initialization = False
    parse_text(NET + LOSS, param.net_param)
    solver = create_solver(param, net_class=caffe.Net, device="cpu", share_memory=False)
    train, test = solver.net, solver.test_nets[0]
    train.blobs["x"].data[...] = 1
    test.blobs["x"].data[...] = 2
    solver.step(1)  # which tests first: from then on the two share
    before = forward(test)
    for _ in range(3):
        solver.step(1)
        after = forward(test)
        np.testing.assert_array_equal(after, expected(test))
        assert not np.array_equal(before, after)
        before = after


def test_another_shape_and_back(expected: Callable[[Any], Any]) -> None:
    net = net_of(NET.replace('type: "InnerProduct"', 'type: "Split"'))  # takes images of any size
    first = forward(net)
    net.blobs["x"].reshape(1, 16, 40, 40)
    forward(net)
    net.blobs["x"].reshape(1, 16, 24, 24)
    net.blobs["x"].data[...] = np.random.default_rng(3).standard_normal(net.blobs["x"].shape)
    np.testing.assert_array_equal(forward(net), first)
    np.testing.assert_array_equal(forward(net), first)


def test_a_pass_back_in_between(expected: Callable[[Any], Any]) -> None:
    net = net_of("force_backward: true " + NET)
    first = forward(net)
    for _ in range(2):
        net.blobs["y"].diff[...] = 1
        net.backward()
        np.testing.assert_array_equal(forward(net), first)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_other_numbers_of_threads(threads: int, expected: Callable[[Any], Any]) -> None:
    net = net_of()
    first = forward(net)
    usual = caffe.num_threads()
    try:
        caffe.set_num_threads(min(threads, int(os.environ["NUMBA_NUM_THREADS"])))
        np.testing.assert_array_equal(forward(net), first)
        np.testing.assert_array_equal(forward(net), first)
        np.testing.assert_array_equal(expected(net), first)
    finally:
        caffe.set_num_threads(usual)


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that have prepared filters."""
    from minicaffe.kernels.cpu.convolution import direct, direct_columns, pointwise
    from minicaffe.kernels.cpu.convolution.winograd import lines

    called: list[str] = []
    for module, name in (
        (direct, "_pack_filters"), (direct_columns, "_pack_transposed_filters"),
        (pointwise, "_pack_a"), (lines, "transform_filters"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, partial(_count, called, name, getattr(module, name)))
    return called


def _count(called: list[str], name: str, make: Callable[..., None], *args: Any) -> None:
    called.append(name)
    make(*args)


def test_filters_are_prepared_once(packed: list[str]) -> None:
    net = net_of()
    forward(net)
    assert len(packed) == 4
    forward(net)
    assert len(packed) == 4
    net.params["direct"][0].data[...] = 1
    forward(net)
    forward(net)
    assert len(packed) == 8


def test_an_array_that_is_held_concerns_its_layer_alone(packed: list[str]) -> None:
    net = net_of()
    weight = net.params["direct"][0].data
    forward(net)
    packed.clear()
    forward(net)
    assert packed == ["_pack_filters"]
    del weight


@pytest.mark.parametrize("off", [True, False], ids=["off", "TRAIN"])
def test_nothing_is_kept(off: bool, packed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if off:
        monkeypatch.setenv(kept.VARIABLE, "off")
    net = net_of(phase=caffe.TEST if off else caffe.TRAIN)
    forward(net)
    forward(net)
    assert len(packed) == 8
    assert sum(node.kind.bytes_kept(node.layer) for node in net.nodes) == 0


def test_an_unknown_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kept.VARIABLE, "maybe")
    with pytest.raises(Error, match="MINICAFFE_KEEP=maybe: it is one of on, off"):
        net_of()
