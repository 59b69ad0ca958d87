"""Files of weights in both formats, read and written."""

import os

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.errors import MissingExtra, SnapshotError
from minicaffe.net.match import Match
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights, save_weights, save_weights_hdf5
from minicaffe.proto import minicaffe_pb2 as pb
from tests.solver.snapshots import FORMATS, NET, files, make, weights


@pytest.mark.parametrize("save", [save_weights, save_weights_hdf5])
def test_weights_come_back_whatever_the_file_is_called(tmp_path, save):
    one, other = make(tmp_path), make(tmp_path, "random_seed: 2")
    path = f"{tmp_path}/weights"
    save(one.net, path)
    assert not np.array_equal(weights(one), weights(other))
    load_weights(other.net, path)
    assert np.array_equal(weights(one), weights(other))


@pytest.mark.parametrize("save", [save_weights, save_weights_hdf5])
def test_layers_are_matched_by_name_and_it_is_said(tmp_path, save, caplog):
    one = make(tmp_path)
    other = make(tmp_path, "random_seed: 2", NET.replace('name: "a"', 'name: "new"'))
    before = weights(other)
    save(one.net, f"{tmp_path}/weights")
    with caplog.at_level("INFO", "minicaffe.net"):
        load_weights(other.net, f"{tmp_path}/weights")
    assert np.array_equal(weights(other)[:12], before[:12])
    assert np.array_equal(weights(other)[12:], weights(one)[12:])
    assert caplog.messages[-1] == (
        f"{tmp_path}/weights: weights for 1 of the net's 2 layers that have any, 2 blobs; it has"
        " none for new; not used are those of a"
    )


def test_of_many_layers_that_do_not_match_some_are_named():
    found = Match("w", ("a",), 1, tuple("bcdefgh"), ())
    assert str(found).endswith("it has none for b, c, d, e, f and 2 more")


def test_a_source_without_any_weights_is_refused(tmp_path):
    others = NET.replace('name: "a"', 'name: "fc1"').replace('name: "b"', 'name: "fc2"')
    with pytest.raises(SnapshotError, match="^the source: holds no weights$"):
        make(tmp_path).net.copy_trained_from(text_format.Parse(others, pb.NetParameter()))


@pytest.mark.parametrize("save", [save_weights, save_weights_hdf5])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_output: 2", "num_output: 1", "b.* shape"),
        ("num_output: 2", "num_output: 2 bias_term: false", "'b' holds 2 blobs, the net's has 1"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(tmp_path, save, old, new, message):
    one = make(tmp_path)
    net = NET.replace(old, new).replace("dim: 2", "dim: 1" if "1" in new else "dim: 2")
    other = make(tmp_path, "random_seed: 2", net)
    before = weights(other)
    save(one.net, f"{tmp_path}/weights")
    with pytest.raises(SnapshotError, match=f"{tmp_path}/weights.*{message}"):
        load_weights(other.net, f"{tmp_path}/weights")
    assert np.array_equal(weights(other), before)


@pytest.mark.parametrize("save", [save_weights, save_weights_hdf5])
def test_weights_of_which_nothing_fits_are_refused(tmp_path, save):
    others = NET.replace('name: "a"', 'name: "fc1"').replace('name: "b"', 'name: "fc2"')
    one, other = make(tmp_path), make(tmp_path, net=others)
    before = weights(other)
    save(one.net, f"{tmp_path}/weights")
    message = (
        "none of its weights fits the net: it holds those of a, b, the net's layers are fc1, fc2"
    )
    with pytest.raises(SnapshotError, match=f"{tmp_path}/weights: {message}"):
        load_weights(other.net, f"{tmp_path}/weights")
    assert np.array_equal(weights(other), before)


def test_missing_parameters_in_hdf5_are_refused(tmp_path):
    one = make(tmp_path, net=NET.replace("num_output: 2", "num_output: 2 bias_term: false"))
    save_weights_hdf5(one.net, f"{tmp_path}/weights")
    with pytest.raises(SnapshotError, match="no dataset data/b/1"):
        load_weights(make(tmp_path).net, f"{tmp_path}/weights")


SHARED_NET = """
    layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
            inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
            inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
"""


def shared_net():
    return Net(text_format.Parse(SHARED_NET, pb.NetParameter()), pb.TRAIN)


def test_hdf5_stores_a_shared_parameter_once(tmp_path):
    h5py = pytest.importorskip("h5py")
    net = shared_net()
    save_weights_hdf5(net, f"{tmp_path}/w.h5", write_diff=True)
    with h5py.File(tmp_path / "w.h5") as file:
        assert {name: sorted(group) for name, group in file["data"].items()} == {
            "data": [], "a": ["0", "1"], "b": ["1"]
        }  # fmt: skip
        assert sorted(file["diff/b"]) == ["0", "1"]
    other = shared_net()
    load_weights(other, f"{tmp_path}/w.h5")
    assert np.array_equal(other.flat_params.data, net.flat_params.data)


@pytest.mark.parametrize("kind", FORMATS)
def test_diffs_are_stored_on_demand(tmp_path, kind):
    solver = make(tmp_path, f"snapshot_format: {kind} snapshot_diff: true max_iter: 1")
    solver.solve()
    diff = np.asarray(solver.net.layers[1].blobs[0].diff)
    assert diff.any()
    if kind == "HDF5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "s_iter_1.caffemodel.h5") as file:
            assert np.array_equal(file["diff/a/0"], diff)
    else:
        net = pb.NetParameter.FromString((tmp_path / "s_iter_1.caffemodel").read_bytes())
        assert list(net.layer[1].blobs[0].diff) == diff.reshape(-1).tolist()


def test_an_hdf5_file_of_something_else_holds_no_weights(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x", "w") as file:
        file["iter"] = [1]
    with pytest.raises(SnapshotError, match="without the group 'data' holds no weights"):
        load_weights(make(tmp_path).net, f"{tmp_path}/x")


@pytest.mark.parametrize("save", [save_weights, save_weights_hdf5])
def test_a_file_that_cannot_be_written_is_named(tmp_path, save):
    path = f"{tmp_path}/none/weights"
    with pytest.raises(SnapshotError, match=f"{path}"):
        save(make(tmp_path).net, path)


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    solver = make(tmp_path)
    path = f"{tmp_path}/weights"
    save_weights_hdf5(solver.net, path)
    before = (tmp_path / "weights").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SnapshotError, match="No space left on device"):
        save_weights_hdf5(solver.net, path)
    assert (tmp_path / "weights").read_bytes() == before
    assert files(tmp_path) == ["weights"]


def test_hdf5_needs_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtra, match="h5py.*minicaffe.hdf5"):
        save_weights_hdf5(make(tmp_path).net, f"{tmp_path}/x")


def test_a_message_beyond_two_gigabytes_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr("minicaffe.net.weights.PROTOBUF_LIMIT", 10)
    with pytest.raises(SnapshotError, match="2 GiB.*snapshot_format: HDF5"):
        save_weights(make(tmp_path).net, f"{tmp_path}/x")
