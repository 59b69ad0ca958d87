"""Scripts written for pycaffe find behind `import minicaffe as caffe` what they look for."""

import copy
import importlib
import logging
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.device import known_families
from minicaffe.errors import DeviceError, Error, LayerError, NetError, SolverError
from minicaffe.proto import caffe_pb2
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe import params as P

DEPLOY = """
name: "small"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 4 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {
  kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" inner_product_param {
  num_output: 5
  weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "constant" value: 2 } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""

SOLVER = """
train_net: "{folder}/train.prototxt"
test_net: "{folder}/test.prototxt" test_iter: 2 test_interval: 2
base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 6 snapshot_prefix: "{folder}/small"
random_seed: 7 snapshot_after_train: false
"""


@pytest.fixture(autouse=True)
def on_reference() -> None:
    """What is here is about names and shapes: no need to compile."""
    caffe.use_device("reference")


@pytest.fixture
def deploy(tmp_path: Path) -> str:
    path = tmp_path / "deploy.prototxt"
    path.write_text(DEPLOY)
    return str(path)


@pytest.fixture
def net(deploy: str) -> Any:
    caffe.set_random_seed(1)
    return caffe.Net(deploy, caffe.TEST)


@pytest.fixture
def data() -> Any:
    return np.random.default_rng(0).normal(size=(4, 2, 6, 6)).astype(np.float32)


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


def test_messages_are_one_class_under_all_names() -> None:
    assert caffe_pb2.NetParameter is pb.NetParameter
    assert caffe.proto.caffe_pb2.NetParameter is pb.NetParameter
    assert caffe.io.caffe_pb2.NetParameter is pb.NetParameter
    assert caffe_pb2.TRAIN == caffe.TRAIN
    assert caffe_pb2.PoolingParameter.AVE == P.Pooling.AVE


def test_names_of_modules_and_functions() -> None:
    for name in ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "params"):
        assert getattr(caffe, name).__name__ == f"minicaffe.pycaffe.{name}"
        assert importlib.import_module(f"minicaffe.{name}") is getattr(caffe, name)
    for name in ("AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD"):
        assert getattr(importlib.import_module("minicaffe.pycaffe.solver"), f"{name}Solver")
    assert {"Convolution", "Python", "LSTM"} <= set(caffe.layer_type_list())
    assert issubclass(caffe.Classifier, caffe.Net)
    assert caffe.__version__


def test_a_stored_blob_without_a_shape_is_a_value_error() -> None:
    blob = caffe_pb2.BlobProto(data=[1.0])
    assert caffe.io.blobproto_to_array(blob) == 1
    blob.data.append(2)
    with pytest.raises(ValueError, match="2 numbers, not 1"):
        caffe.io.blobproto_to_array(blob)


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


@pytest.fixture
def array(net: Any) -> Any:
    """What a layer sees as `blob.data`: (5, 12), 0 to 59."""
    found = net.layers[4].blobs[0].data
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


# --- layers in Python ---------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of layers as one finds them, which says `import caffe`."""
    (tmp_path / "found_layers.py").write_text(
        textwrap.dedent("""
        import caffe
        import caffe.io
        import numpy as np
        import yaml_free as _  # a module beside it
        from caffe.proto import caffe_pb2

        class Distance(caffe.Layer):
            def setup(self, bottom, top):
                if len(bottom) != 2:
                    raise Exception("Need two inputs to compute distance.")
            def reshape(self, bottom, top):
                if bottom[0].count != bottom[1].count:
                    raise Exception("Inputs must have the same dimension.")
                self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
                top[0].reshape(1)
            def forward(self, bottom, top):
                self.diff[...] = bottom[0].data - bottom[1].data
                top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.
            def backward(self, top, propagate_down, bottom):
                for i in range(2):
                    if not propagate_down[i]:
                        continue
                    sign = 1 if i == 0 else -1
                    bottom[i].diff[...] = sign * self.diff / bottom[i].num

        class Fails(caffe.Layer):
            def setup(self, bottom, top): self.fail("setup")
            def reshape(self, bottom, top):
                self.fail("reshape")
                top[0].reshape(*bottom[0].data.shape)
            def forward(self, bottom, top): self.fail("forward")
            def backward(self, top, propagate_down, bottom): self.fail("backward")
            def fail(self, where):
                if self.param_str == where:
                    raise RuntimeError(f"nothing works in {where}")

        class Phase(caffe.Layer):
            def setup(self, bottom, top): self.blobs.add_blob(2, 3)
            def reshape(self, bottom, top): top[0].reshape()
            def forward(self, bottom, top): top[0].data[()] = self.phase
        """)
    )
    (tmp_path / "yaml_free.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "found_layers"
    sys.modules.pop("found_layers", None)
    sys.modules.pop("yaml_free", None)


def python_net(module: str, layer: str, bottoms: int = 1, **params: Any) -> Any:
    n = caffe.NetSpec()
    shape = {"dim": [3, 2]}
    inputs = [L.Input(shape=shape, name=f"in{i}") for i in range(bottoms)]
    n.mine = L.Python(*inputs, module=module, layer=layer, **params)
    proto = n.to_proto()
    proto.force_backward = True
    return caffe.Net(proto, caffe.TEST)


def test_a_loss_in_python_as_pycaffes_example_has_it(module: str) -> None:
    net = python_net(module, "Distance", bottoms=2, loss_weight=1)
    one, other = np.random.default_rng(4).normal(size=(2, 3, 2)).astype(np.float32)
    loss = net.forward(in0=one, in1=other)["mine"]
    np.testing.assert_allclose(loss, [((one - other) ** 2).sum() / 6], rtol=1e-6)
    grad = net.backward()
    np.testing.assert_allclose(grad["in0"], (one - other) / 3, rtol=1e-6)
    np.testing.assert_array_equal(grad["in1"], -grad["in0"])
    with pytest.raises(Exception, match="Need two inputs"):
        python_net(module, "Distance")


@pytest.mark.parametrize("where", ["setup", "reshape", "forward", "backward"])
def test_errors_of_a_layer_in_python_keep_their_type_and_name_the_layer(
    module: str, where: str
) -> None:
    with pytest.raises(RuntimeError, match=f"nothing works in {where}") as caught:
        net = python_net(module, "Fails", param_str=where, name="mine")
        net.forward()
        net.backward(mine=np.ones((3, 2)))
    assert caught.value.__notes__ == ["in layer 'mine' (Python)"]


def test_a_layer_in_python_knows_its_phase_and_has_parameters(module: str) -> None:
    net = python_net(module, "Phase")
    assert net.forward()["mine"] == caffe.TEST
    assert net.params["mine"][0].data.shape == (2, 3)
    assert isinstance(net.layer_dict["mine"], caffe.Layer)


def test_a_layer_in_python_that_is_not_there(module: str) -> None:
    with pytest.raises(LayerError, match="layer 'mine' .*no module 'lost_layers'"):
        python_net("lost_layers", "Any", name="mine")
    with pytest.raises(LayerError, match="found_layers.Lost is not a class"):
        python_net(module, "Lost")


def test_install_as_caffe_answers_to_the_name_without_second_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "caffe"]:
        monkeypatch.delitem(sys.modules, name)
    caffe.install_as_caffe()
    assert importlib.import_module("caffe") is caffe
    for name in ("io", "proto.caffe_pb2", "net_spec", "layers", "pycaffe.net"):
        ours = importlib.import_module(f"minicaffe.{name}")
        assert importlib.import_module(f"caffe.{name}") is ours
        assert ours.__spec__.name == ours.__name__
    with pytest.raises(ModuleNotFoundError, match="caffe.nothing"):
        importlib.import_module("caffe.nothing")


def test_a_program_may_give_the_name_itself(checkout: Path) -> None:
    program = (
        "import sys, minicaffe\n"
        "sys.modules['caffe'] = minicaffe\n"
        "from caffe.proto import caffe_pb2\n"
        "import caffe.io, caffe.draw\n"
        "assert caffe_pb2 is minicaffe.proto.caffe_pb2\n"
        "assert caffe.io is minicaffe.io and caffe.draw is minicaffe.draw\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- solvers ------------------------------------------------------------------------------------


@pytest.fixture
def solver_file(tmp_path: Path) -> str:
    for phase in ("train", "test"):
        n = caffe.NetSpec()
        fillers = [{"type": "gaussian", "std": 1}, {"type": "constant", "value": 1}]
        n.data, n.label = L.DummyData(
            shape=[{"dim": [8, 3]}, {"dim": [8]}], data_filler=fillers, ntop=2
        )
        n.ip = L.InnerProduct(n.data, num_output=4, weight_filler={"type": "xavier"})
        n.loss = L.SoftmaxWithLoss(n.ip, n.label)
        n.accuracy = L.Accuracy(n.ip, n.label)
        (tmp_path / f"{phase}.prototxt").write_text(str(n.to_proto()))
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(folder=tmp_path))
    return str(tmp_path / "solver.prototxt")


def test_a_loop_of_steps(solver_file: str) -> None:
    solver = caffe.SGDSolver(solver_file)
    losses = np.zeros(10)
    for it in range(10):
        solver.step(1)
        losses[it] = solver.net.blobs["loss"].data
    assert solver.iter == 10
    assert losses[-1] < losses[0]
    given = solver.test_nets[0].forward()
    assert set(given) == {"accuracy", "loss"}
    data = solver.test_nets[0].blobs["data"].data.copy()
    solver.test_nets[0].forward(start="ip")
    assert np.array_equal(solver.test_nets[0].blobs["data"].data, data)
    ours, theirs = (n.layer_dict["ip"].blobs[0] for n in (solver.net, solver.test_nets[0]))
    assert np.shares_memory(ours.data[...], theirs.data[...])


def test_what_a_solver_shows(solver_file: str) -> None:
    solver = caffe.get_solver(solver_file)
    assert isinstance(solver, caffe.SGDSolver)
    assert not isinstance(solver, caffe.AdamSolver)
    assert (solver.iter, solver.lr, solver.param.max_iter) == (0, pytest.approx(0.1), 6)
    assert len(solver.test_nets) == 1
    solver.solve()
    assert solver.iter == 6
    with pytest.raises(SolverError, match="AdamSolver was given a solver of type SGD"):
        Path(solver_file).write_text(Path(solver_file).read_text() + 'type: "SGD"')
        caffe.AdamSolver(solver_file)


def test_a_solvers_message_can_be_made_and_written(solver_file: str, tmp_path: Path) -> None:
    message = caffe_pb2.SolverParameter()
    message.train_net = str(tmp_path / "train.prototxt")
    message.test_net.append(str(tmp_path / "test.prototxt"))
    message.test_iter.append(1)
    message.test_interval = 10
    message.type = "Adam"
    message.base_lr = 0.001
    message.lr_policy = "fixed"
    message.solver_mode = caffe_pb2.SolverParameter.GPU  # pycaffe does not look at it
    (tmp_path / "adam.prototxt").write_text(str(message))
    solver = caffe.get_solver(str(tmp_path / "adam.prototxt"))
    solver.step(2)
    assert isinstance(solver, caffe.AdamSolver)


def test_update_without_step(solver_file: str) -> None:
    solver = caffe.SGDSolver(solver_file)
    solver.net.forward()
    solver.net.backward()
    before = solver.net.params["ip"][0].data.copy()
    gradient = solver.net.params["ip"][0].diff.copy()
    solver.apply_update()
    np.testing.assert_allclose(
        solver.net.params["ip"][0].data, before - 0.1 * gradient, rtol=1e-5, atol=1e-7
    )


def test_callbacks_of_a_solver(solver_file: str) -> None:
    solver = caffe.SGDSolver(solver_file)
    seen: list[str] = []
    solver.add_callback(lambda: seen.append("start"), lambda: seen.append("gradients"))
    solver.step(2)
    assert seen == ["start", "gradients"] * 2


def test_snapshot_and_restore(solver_file: str, tmp_path: Path) -> None:
    solver = caffe.SGDSolver(solver_file)
    solver.step(3)
    solver.snapshot()
    solver.step(2)
    other = caffe.SGDSolver(solver_file)
    other.restore(str(tmp_path / "small_iter_3.solverstate"))
    assert other.iter == 3
    other.step(2)
    for mine, theirs in zip(solver.net.params["ip"], other.net.params["ip"], strict=True):
        assert np.array_equal(mine.data, theirs.data)
    third = caffe.SGDSolver(solver_file)
    third.net.copy_from(str(tmp_path / "small_iter_3.caffemodel"))
    third.solve(str(tmp_path / "small_iter_3.solverstate"))
    assert third.iter == 6


def test_weights_of_another_net(solver_file: str) -> None:
    solver, other = caffe.SGDSolver(solver_file), caffe.SGDSolver(solver_file)
    solver.share_weights(other.net)
    other.step(1)
    assert np.array_equal(solver.net.params["ip"][0].data, other.net.params["ip"][0].data)


# --- the process --------------------------------------------------------------------------------


def test_the_gpu_of_a_machine_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known_families.cache_clear()
    monkeypatch.setattr("minicaffe.device.known_devices", lambda: ["cpu", "reference"])
    caffe.set_device(0)
    with pytest.raises(DeviceError, match=r"no device 'cuda' .*set_mode_cpu\(\) needs no card"):
        caffe.set_mode_gpu()
    caffe.set_mode_cpu()
    known_families.cache_clear()


def test_ranks_of_this_thread() -> None:
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)
    caffe.set_solver_count(4)
    caffe.set_solver_rank(2)
    assert (caffe.solver_count(), caffe.solver_rank()) == (4, 2)


def test_seeds_repeat_a_net(deploy: str) -> None:
    nets = []
    for _ in range(2):
        caffe.set_random_seed(1701)
        nets.append(caffe.Net(deploy, caffe.TRAIN))
    assert np.array_equal(*(net.params["conv1"][0].data for net in nets))


def test_the_log_is_shown_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("minicaffe")
    former = logger.handlers[:], logger.level, logger.propagate
    try:
        caffe.init_log(1)
        caffe.log("hidden")
        caffe.init_log()
        caffe.log("shown")
    finally:
        logger.handlers, logger.propagate = former[0], former[2]
        logger.setLevel(former[1])
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("I")
    assert lines[0].endswith("] shown")
    assert Path(__file__).name in lines[0]


def test_a_timer_counts_milliseconds() -> None:
    timer = caffe.Timer()
    timer.start()
    timer.stop()
    assert 0 <= timer.ms < 10_000


def test_errors_have_one_root(deploy: str) -> None:
    with pytest.raises(Error, match=r"nowhere\.prototxt"):
        caffe.Net("nowhere.prototxt", caffe.TEST)
    with pytest.raises(Error, match=r"nowhere\.caffemodel"):
        caffe.Net(deploy, "nowhere.caffemodel", caffe.TEST)
