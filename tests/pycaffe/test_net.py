"""Nets as pycaffe's scripts use them: built, looked at, run, saved; their blobs are arrays."""

import copy
import ctypes
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.errors import NetError
from minicaffe.proto import caffe_pb2
from minicaffe.pycaffe import params as P

pytestmark = pytest.mark.usefixtures("on_reference")


# --- building a net -----------------------------------------------------------------------------


def test_all_orders_of_arguments(deploy: str, net: Any, tmp_path: Path) -> None:
    weights = str(tmp_path / "small.caffemodel")
    net.save(weights)
    for other in (
        caffe.Net(deploy, weights, caffe.TEST),
        caffe.Net(deploy, caffe.TEST, weights=weights),
        caffe.Net(deploy, caffe.TEST, 0, ["deploy"], weights),
        caffe.Net(network_file=deploy, phase=caffe.TEST, level=0, stages=[], weights=weights),
        caffe.Net(Path(deploy), Path(weights), caffe.TEST),
    ):
        assert other.phase == caffe.TEST
        assert np.array_equal(other.params["conv1"][0].data, net.params["conv1"][0].data)


def test_a_net_without_a_phase_is_for_testing(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 6 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
          inner_product_param { num_output: 2 weight_filler { value: 1 } } }
        layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }"""
    )
    weights = tmp_path / "net.caffemodel"
    given = caffe.Net(str(path), caffe.TEST)
    given.params["ip"][0].data[...] = 3
    given.save(str(weights))
    for net in (
        caffe.Net(str(path)),
        caffe.Net(str(path), str(weights)),
        caffe.Net(path, weights),
        caffe.Net(str(path), weights=str(weights)),
    ):
        assert net.phase == caffe.TEST
        assert net.params["ip"][0].data[0, 0] in (1, 3)
        for _ in range(4):
            assert net.forward(x=np.ones((1, 6)))["d"].tolist() == [[1] * 6]
    assert net.params["ip"][0].data.tolist() == [[3] * 6] * 2
    assert caffe.Net(str(path), str(weights), caffe.TRAIN).phase == caffe.TRAIN
    path.write_text("state { phase: TRAIN }" + path.read_text())
    assert caffe.Net(str(path), str(weights)).phase == caffe.TRAIN


def test_level_and_stages_select_layers(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        """layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 } } }
        layer { name: "deep" type: "ReLU" bottom: "a" top: "deep" include { min_level: 2 } }
        layer { name: "late" type: "ReLU" bottom: "a" top: "late" include { stage: "deploy" } }
        """
    )
    plain = caffe.Net(str(path), caffe.TEST)
    assert list(plain._layer_names) == ["a"]
    assert "deep" in caffe.Net(str(path), caffe.TEST, level=3)._layer_names
    assert "late" in caffe.Net(str(path), caffe.TEST, stages=["deploy"])._layer_names


def test_a_prototxt_can_be_read_changed_and_written_with_protobuf(
    deploy: str, tmp_path: Path
) -> None:
    model = caffe_pb2.NetParameter()
    text_format.Merge(Path(deploy).read_text(), model)
    model.layer.add(name="again", type="ReLU", bottom=["prob"], top=["again"])
    (tmp_path / "changed.prototxt").write_text(str(model))
    assert caffe.Net(str(tmp_path / "changed.prototxt"), caffe.TEST).outputs == ["again"]


# --- looking at a net ---------------------------------------------------------------------------


def test_blobs_and_params_in_order_with_shapes(net: Any) -> None:
    assert [(k, v.data.shape) for k, v in net.blobs.items()] == [
        ("data", (4, 2, 6, 6)),
        ("conv1", (4, 3, 4, 4)),
        ("pool1", (4, 3, 2, 2)),
        ("ip1", (4, 5)),
        ("prob", (4, 5)),
    ]
    assert [(k, v[0].data.shape, v[1].data.shape) for k, v in net.params.items()] == [
        ("conv1", (3, 2, 3, 3), (3,)),
        ("ip1", (5, 12), (5,)),
    ]
    blob = net.blobs["conv1"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (4, 3, 4, 4, 192)
    assert list(blob.shape) == [4, 3, 4, 4]


def test_names_and_places(net: Any) -> None:
    assert (net.inputs, net.outputs) == (["data"], ["prob"])
    assert net._layer_names[net._layer_names.index("pool1")] == "pool1"
    assert list(net._blob_names) == list(net.blobs)
    assert (net._inputs, net._outputs) == ([0], [4])
    pool1 = list(net._layer_names).index("pool1")
    assert (list(net._bottom_ids(pool1)), list(net._top_ids(pool1))) == ([1], [2])
    assert net.top_names["relu1"] == net.bottom_names["relu1"] == ["conv1"]
    assert net.layers[1].type == "Convolution"
    assert net.layer_dict["conv1"] is net.layers[1]
    assert net.blob_loss_weights["prob"] == 0


def test_parameters_are_the_same_by_every_way(net: Any) -> None:
    net.params["conv1"][0].data[0, 0, 0, 0] = 3.5
    assert net.layers[1].blobs[0].data[0, 0, 0, 0] == 3.5
    assert net.layer_dict["conv1"].blobs[0].data[0, 0, 0, 0] == 3.5
    net.params["conv1"][1].data.flat = [1, 2, 3]
    assert net.layers[1].blobs[1].data.tolist() == [1, 2, 3]


def test_blobs_outlive_the_names_of_their_net(deploy: str) -> None:
    blobs = caffe.Net(deploy, caffe.TEST).blobs
    params = caffe.Net(deploy, caffe.TEST).params
    assert blobs["data"].data.sum() == 0
    assert params["ip1"][1].data.sum() == 10


# --- forward and backward -----------------------------------------------------------------------


def test_forward_fills_inputs_and_gives_live_outputs(net: Any, data: Any) -> None:
    first = net.forward(data=data)["prob"]
    assert isinstance(first, np.ndarray)
    np.testing.assert_allclose(first.sum(axis=1), 1, rtol=1e-6)
    kept = first.copy()
    net.blobs["data"].data[...] = 2 * data
    net.forward()
    assert np.shares_memory(first, net.blobs["prob"].data)
    assert not np.array_equal(first, kept)


def test_forward_of_a_part(net: Any, data: Any) -> None:
    assert set(net.forward(data=data, end="ip1")) == {"ip1"}
    net.blobs["pool1"].data[...] = 1
    given = net.forward(start="ip1", blobs=["ip1"])
    expected = net.params["ip1"][0].data.sum(axis=1) + 2
    assert set(given) == {"ip1", "prob"}
    np.testing.assert_allclose(given["ip1"], np.tile(expected, (4, 1)), rtol=1e-5)


def test_backward_of_all_and_of_a_part(net: Any, data: Any) -> None:
    net.forward(data=data)
    top = np.eye(5, dtype=np.float32)[:4]
    given = net.backward(prob=top, diffs=["pool1"])
    assert set(given) == {"data", "pool1"}
    whole = given["data"].copy()
    assert np.any(whole)
    net.blobs["data"].diff[...] = 0
    assert set(net.backward(start="ip1", end="conv1")) == {"data"}
    np.testing.assert_array_equal(net.blobs["data"].diff, whole)
    gradient = net.params["ip1"][1].diff.copy()
    net.backward(start="ip1", end="ip1")
    np.testing.assert_allclose(net.params["ip1"][1].diff, 1.5 * gradient, rtol=1e-5)
    net.clear_param_diffs()
    assert not np.any(net.params["ip1"][1].diff)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros((4, 2, 6, 6))}, "the net wants data"),
        ({"data": np.zeros((3, 2, 6, 6))}, "items"),
        ({"data": np.zeros((4, 2, 5, 6))}, r"has shape \(4, 2, 5, 6\)"),
    ],
)
def test_wrong_inputs_are_refused(net: Any, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(NetError, match=message):
        net.forward(**arrays)


def test_unknown_names_are_refused_with_the_known_ones(net: Any) -> None:
    with pytest.raises(NetError, match="no layer 'conv9'.*conv1"):
        net.forward(start="conv9")
    with pytest.raises(NetError, match="no blob 'fc7'.*pool1"):
        net.forward(blobs=["fc7"])


@pytest.mark.parametrize("count", [1, 4, 10])
def test_forward_all_runs_batches_and_cuts_the_padding_off(net: Any, count: int) -> None:
    data = np.random.default_rng(2).normal(size=(count, 2, 6, 6))
    given = net.forward_all(data=data, blobs=["pool1"])
    assert given["prob"].shape == (count, 5)
    assert given["pool1"].shape == (count, 3, 2, 2)
    net.blobs["data"].reshape(count, 2, 6, 6)
    np.testing.assert_allclose(net.forward(data=data)["prob"], given["prob"], rtol=1e-6)


def test_forward_all_wants_arrays_of_one_length(net: Any) -> None:
    with pytest.raises(NetError, match="not none"):
        net.forward_all()
    with pytest.raises(NetError, match="'data': 4, 'prob': 6"):
        net.forward_backward_all(data=np.zeros((4, 2, 6, 6)), prob=np.ones((6, 5)))


def test_forward_backward_all(net: Any) -> None:
    data = np.random.default_rng(3).normal(size=(6, 2, 6, 6))
    out, grad = net.forward_backward_all(data=data, prob=np.ones((6, 5)), diffs=["ip1"])
    assert out["prob"].shape == (6, 5)
    assert grad["data"].shape == (6, 2, 6, 6)
    assert grad["ip1"].shape == (6, 5)


def test_reshaping_an_input_reaches_the_whole_net(net: Any) -> None:
    net.blobs["data"].reshape(1, 2, 6, 6)
    net.reshape()
    assert net.blobs["prob"].data.shape == (1, 5)
    net.blobs["data"].reshape(7, 2, 6, 6)
    assert net.forward()["prob"].shape == (7, 5)  # forward reshapes, too


def test_callbacks_see_the_layers_in_turn(net: Any) -> None:
    seen: list[tuple[str, int]] = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, when)(lambda layer, when=when: seen.append((when, layer)))
    net.forward(start="pool1", end="ip1")
    assert seen == [(f"{part}_forward", i) for i in (3, 4) for part in ("before", "after")]
    seen.clear()
    net.backward(start="ip1", end="pool1")
    assert seen == [(f"{part}_backward", i) for i in (4, 3) for part in ("before", "after")]


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_weights_come_back_from_files(
    net: Any, deploy: str, data: Any, tmp_path: Path, suffix: str
) -> None:
    path = str(tmp_path / f"small{suffix}")
    if suffix.endswith("h5"):
        pytest.importorskip("h5py", reason="h5py is not installed")
        net.save_hdf5(path)
    else:
        net.save(path)
    other = caffe.Net(deploy, caffe.TEST)
    (other.load_hdf5 if suffix.endswith("h5") else other.copy_from)(path)
    expected = net.forward(data=data)["prob"].copy()
    assert np.array_equal(other.forward(data=data)["prob"], expected)
    assert not np.array_equal(caffe.Net(deploy, caffe.TEST).forward(data=data)["prob"], expected)


def test_gradients_are_saved_when_asked(net: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    net.params["ip1"][1].diff[...] = 0.5
    net.save_hdf5(str(tmp_path / "small.h5"), write_diff=True)
    with h5py.File(tmp_path / "small.h5") as file:
        assert file["diff/ip1/1"][...].tolist() == [0.5] * 5


def test_nets_that_share_weights(net: Any, deploy: str, data: Any) -> None:
    other = caffe.Net(deploy, caffe.TEST)
    other.share_with(net)
    net.params["conv1"][0].data[...] *= 2
    assert np.shares_memory(other.params["conv1"][0].data, net.params["conv1"][0].data)
    assert np.array_equal(other.forward(data=data)["prob"], net.forward(data=data)["prob"])


def test_memory_data_takes_arrays() -> None:
    n = caffe.NetSpec()
    n.data, n.label = L.MemoryData(batch_size=2, channels=1, height=2, width=3, ntop=2)
    n.pool = L.Pooling(n.data, global_pooling=True, pool=P.Pooling.AVE)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    images = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
    net.set_input_arrays(images, np.arange(4, dtype=np.float32))
    for batch in (0, 2, 0):
        given = net.forward()
        assert given["label"].ravel().tolist() == [batch, batch + 1]
        np.testing.assert_allclose(given["pool"].ravel(), images[batch : batch + 2].mean((1, 2, 3)))


# --- arrays -------------------------------------------------------------------------------------


def test_blobs_and_params_of_a_net_are_ndarrays(net: Any) -> None:
    for blob in (net.blobs["data"], net.params["conv1"][0]):
        assert type(blob.data) is type(blob.diff) is np.ndarray
        assert (blob.data.dtype, blob.data.flags.c_contiguous) == (np.float32, True)
        assert blob.data.flags.writeable
    weight = net.params["conv1"][0].data
    np.copyto(weight, 1)
    assert net.layers[1].blobs[0].data.sum() == weight.size


def test_arrays_of_layers_are_ndarrays_for_code_in_c(net: Any) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    blob = net.layers[4].blobs[0]
    assert isinstance(blob.data, np.ndarray)
    assert isinstance(blob.diff, np.ndarray)
    assert memoryview(blob.data).shape == (5, 12)
    assert cv2.resize(blob.data, (4, 4)).shape == (4, 4)
    floats = blob.data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    floats[13] = 7
    assert net.params[net.layer_names[4]][0].data[1, 1] == 7
    assert net.nodes[4].layer.blobs[0].data[1, 1] == 7


def test_a_layer_is_shown_as_what_it_is(net: Any) -> None:
    shown, layer = net.layers[1], net.nodes[1].layer
    assert isinstance(shown, caffe.Layer)
    assert isinstance(shown, type(layer))
    assert shown is net.layers[1]
    assert (shown.type, shown.name, shown.phase) == ("Convolution", "conv1", caffe.TEST)
    shown.mark = 5
    assert layer.mark == 5
    with pytest.raises(AttributeError, match="marks"):
        shown.marks  # noqa: B018


def test_arrays_of_layers_follow_the_device(deploy: str) -> None:
    """What the device has changed is seen, and what is written reaches the device."""
    net = caffe.Net(deploy, caffe.TEST, device="apart")
    blob, inside = net.layers[4].blobs[0], net.nodes[4].layer.blobs[0].data
    inside.write("apart")._inside[...] = 3
    assert np.unique(blob.data).tolist() == [3]
    blob.data[2] = 4
    seen = inside.read("apart")._inside
    assert (seen[2] == 4).all()
    assert np.delete(seen, 2, 0).tolist() == [[3] * 12] * 4
    blob.share_data(net.layers[4].blobs[0])
    assert inside.storage is blob.data.storage


@pytest.fixture(params=["shown", "its own"])
def array(net: Any, request: pytest.FixtureRequest) -> Any:
    """A layer's `blob.data`, as the net shows it and as the layer sees it: (5, 12), 0 to 59."""
    layer = net.layers[4] if request.param == "shown" else net.nodes[4].layer
    found = layer.blobs[0].data
    found[...] = np.arange(60).reshape(5, 12)
    return found


def test_a_layers_arrays_stand_in_numpys_functions(array: Any) -> None:
    truth = np.arange(60, dtype=np.float32).reshape(5, 12)
    for function in (np.sum, np.mean, np.argmax, np.transpose, np.ravel, np.cumsum, np.unique,
                     np.sort, np.median, np.linalg.norm, np.shape, np.zeros_like):  # fmt: skip
        np.testing.assert_array_equal(function(array), function(truth))
    np.testing.assert_array_equal(np.dot(array, array.T), truth @ truth.T)
    np.testing.assert_array_equal(np.concatenate([array, truth]), np.concatenate([truth, truth]))
    np.testing.assert_array_equal(np.where(array > 5, array, 0), np.where(truth > 5, truth, 0))
    assert type(np.vstack([array, array])) is np.ndarray
    assert np.array_equal(array, truth)
    assert (array == truth).all()
    assert 59 in array
    assert np.zeros(3)[array[0, :2].astype(int)].tolist() == [0, 0]


def test_a_layers_arrays_take_results(array: Any) -> None:
    np.copyto(array, 2)
    assert array.sum() == 120
    np.dot(np.ones((5, 3), np.float32), np.ones((3, 12), np.float32), out=array)
    assert array.sum() == 180
    assert np.add(array, 1, out=array) is array
    array[array > 3] = 7
    array.flat[0] = 1
    array.fill(np.float32(0.5))
    array *= 2
    assert np.array(array).tolist() == [[1] * 12] * 5


def test_a_layers_arrays_are_copied_and_pickled_as_ndarrays(array: Any) -> None:
    for other in (pickle.loads(pickle.dumps(array)), copy.copy(array), copy.deepcopy(array)):
        assert type(other) is np.ndarray
        assert np.array_equal(other, array)
        assert not np.shares_memory(other, array[...])
    assert type(array[...]) is np.ndarray
    assert np.shares_memory(np.asarray(array), array[...])


def test_a_scalar_array_is_a_number(net: Any) -> None:
    blob = net.layers[1].blobs[1]
    blob.reshape(())
    blob.data[...] = 2.5
    assert (float(blob.data), int(blob.data), bool(blob.data)) == (2.5, 2, True)
    assert f"{blob.data:.2f} {blob.data}" == "2.50 2.5"
    assert "%.1f" % blob.data == "2.5"  # noqa: UP031
    with pytest.raises(ValueError, match="truth value"):
        bool(net.layers[4].blobs[0].data)


def test_a_count_is_a_number_and_a_function(net: Any) -> None:
    blob = net.layers[1].blobs[0]
    assert blob.count == 54
    assert blob.count / 2 == 27
    assert (blob.count(), blob.count(1), blob.count(1, 3)) == (54, 18, 6)
