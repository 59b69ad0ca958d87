"""Snapshots that the real Caffe wrote: resumed here, and written here like there."""

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe import TEST, TRAIN
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights, save_weights_hdf5
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net, read_net_binary, read_solver
from minicaffe.solver.create import create_solver
from minicaffe.solver.state_file import load_state, save_state_hdf5
from tests.solver.test_solver_goldens import check_params, expected, set_params

NAMES = ["bin", "bin_diff", "h5", "h5_diff", "adam"]
RTOL, ATOL = 1e-4, 1e-5
# The gradient of a bias before BatchNorm is 0 but for rounding, and Adam makes a step of any
# rounding; the running mean follows the bias. With Adam they are taken from the golden.
NOISY = ("conv1/1", "bn1/0")


@pytest.fixture(params=NAMES)
def case(request, goldens, monkeypatch, tmp_path, device):
    """A solver as the golden was made with (writing elsewhere), its arrays and its files."""
    monkeypatch.chdir(goldens)
    name = request.param
    param = read_solver(f"files/snapshots/solver_{name}.prototxt")
    param.snapshot_prefix = f"{tmp_path}/{name}"
    solver = create_solver(param, device=device)
    suffix = ".h5" if name.startswith("h5") else ""
    with np.load(f"files/snapshots/{name}.npz") as arrays:
        yield solver, arrays, f"files/snapshots/{name}_iter_3", suffix


def run(solver, arrays, iterations):
    for it in iterations:
        for name, values in expected(arrays, f"it{it}/in/").items():
            solver.net.blob_dict[name].data[...] = values
        solver.step(1)
        wanted = expected(arrays, f"it{it}/param_after/")
        if solver.type == "Adam":
            set_params(solver.net, {f"param/{place}": wanted[place] for place in NOISY})
        check_params(solver.net, wanted)


def test_a_snapshot_of_caffe_is_resumed(case):
    solver, arrays, stem, suffix = case
    solver.restore(f"{stem}.solverstate{suffix}")
    assert solver.iter == 3
    check_params(solver.net, expected(arrays, "it2/param_after/"))
    run(solver, arrays, range(3, 6))


def test_the_test_net_gives_what_caffes_gave(case):
    solver, arrays, stem, suffix = case
    solver.restore(f"{stem}.solverstate{suffix}")
    run(solver, arrays, range(3, 6))
    test = solver.test_nets[0]
    test.share_trained_from(solver.net)
    for name, values in expected(arrays, "it0/in/").items():
        test.blob_dict[name].data[...] = values
    test.forward_pass()
    for name, values in expected(arrays, "test/").items():
        np.testing.assert_allclose(np.asarray(test.blob_dict[name].data), values, RTOL, ATOL)


def test_a_snapshot_is_written_as_caffe_writes_it(case, tmp_path):
    solver, arrays, stem, suffix = case
    set_params(solver.net, arrays)
    run(solver, arrays, range(3))
    solver.snapshot()
    mine = f"{solver.param.snapshot_prefix}_iter_3"
    state, theirs = (load_state(f"{each}.solverstate{suffix}") for each in (mine, stem))
    assert (state.iter, state.current_step) == (theirs.iter, theirs.current_step)
    assert state.learned_net == f"{mine}.caffemodel{suffix}"
    for one, other in zip(state.history, theirs.history, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one.data, other.data, RTOL, 2e-5)
    compare = compare_hdf5 if suffix else compare_binary
    compare(f"{mine}.caffemodel{suffix}", f"{stem}.caffemodel{suffix}")


def compare_binary(mine, theirs):
    one, other = (read_net_binary(path) for path in (mine, theirs))
    assert one.name == other.name
    for layer, wanted in zip(one.layer, other.layer, strict=True):
        for blob, blob_wanted in zip(layer.blobs, wanted.blobs, strict=True):
            assert blob.shape == blob_wanted.shape
            np.testing.assert_allclose(blob.data, blob_wanted.data, RTOL, ATOL)
            np.testing.assert_allclose(blob.diff, blob_wanted.diff, RTOL, ATOL)
        for each in (layer, wanted):
            del each.blobs[:]
        assert layer == wanted


def compare_hdf5(mine, theirs):
    one, other = contents(mine), contents(theirs)
    assert list(one) == list(other)
    for name, wanted in other.items():
        if wanted is not None:
            assert (one[name].dtype, one[name].shape) == (wanted.dtype, wanted.shape)
            if name == f"diff/{NOISY[0]}":
                continue  # the solver is Adam
            np.testing.assert_allclose(one[name], wanted, RTOL, ATOL, err_msg=name)


def contents(path):
    """Every group (None) and dataset (its array) of an HDF5 file, by name."""
    h5py = pytest.importorskip("h5py")
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()] if isinstance(item, h5py.Dataset) else None}
            )
        )
    return found


@pytest.mark.parametrize("name", ["saved.caffemodel", "saved.caffemodel.h5"])
def test_saved_weights_are_loaded(goldens, name):
    folder = goldens / "files" / "snapshots"
    net = Net(read_net(folder / "net.prototxt"), TEST)
    load_weights(net, str(folder / name))
    with np.load(folder / "saved.npz") as arrays:
        check_params(net, expected(arrays, "param/"))


def test_weights_are_saved_as_hdf5_like_caffes(goldens, tmp_path):
    folder = goldens / "files" / "snapshots"
    net = Net(read_net(folder / "net.prototxt"), TEST)
    load_weights(net, str(folder / "saved.caffemodel"))
    save_weights_hdf5(net, f"{tmp_path}/saved.h5")
    compare_hdf5(f"{tmp_path}/saved.h5", f"{folder}/saved.caffemodel.h5")


def test_the_state_in_hdf5_is_laid_out_like_caffes(goldens, monkeypatch, tmp_path):
    monkeypatch.chdir(goldens)
    param = read_solver("files/snapshots/solver_h5.prototxt")
    param.snapshot_prefix = f"{tmp_path}/s"
    solver = create_solver(param)
    solver.restore("files/snapshots/h5_iter_3.solverstate.h5")
    solver.snapshot()
    mine = contents(f"{tmp_path}/s_iter_3.solverstate.h5")
    theirs = contents("files/snapshots/h5_iter_3.solverstate.h5")
    assert mine.pop("random_state").shape == (1, 2506)
    assert pb.TrainingRun.FromString(mine.pop("run").tobytes()).HasField("net")
    assert list(mine) == list(theirs)
    for name, wanted in theirs.items():
        if name == "learned_net":
            path = f"{tmp_path}/s_iter_3.caffemodel.h5"
            assert mine[name] == path.encode()
        elif wanted is not None:
            assert mine[name].dtype == wanted.dtype
            assert np.array_equal(mine[name], wanted)


def test_the_name_of_the_weights_ends_in_a_zero_for_readers_in_c(tmp_path):
    h5py = pytest.importorskip("h5py")
    save_state_hdf5(pb.SolverState(iter=1, learned_net="abc"), f"{tmp_path}/s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["learned_net"].dtype == "S4"


def test_weights_with_the_shapes_of_old_files_are_loaded(goldens):
    folder = goldens / "files" / "legacy"
    net = Net(read_net(folder / "v1_run.prototxt"), TRAIN)
    load_weights(net, str(folder / "v1_run.caffemodel"))
    upgraded = pb.NetParameter.FromString((folder / "v1_run.upgraded.caffemodel").read_bytes())
    stored = {layer.name: layer.blobs for layer in upgraded.layer if layer.blobs}
    assert stored
    for name, blobs in stored.items():
        mine = net.layers[net.layer_names.index(name)].blobs
        for blob, wanted in zip(mine, blobs, strict=True):
            assert np.asarray(blob.data).reshape(-1).tolist() == list(wanted.data)


def test_data_goes_on_where_it_was_with_its_crops_and_mirrors(goldens, monkeypatch, tmp_path):
    monkeypatch.chdir(goldens)

    def solver():
        param = read_solver("files/logs/solver.prototxt")
        param.snapshot_prefix = f"{tmp_path}/s"
        text_format.Parse(
            """
            layer { name: "data" type: "Data" top: "data" top: "label"
                    transform_param { crop_size: 7 mirror: true scale: 0.004 }
                    data_param { source: "files/db_lmdb" batch_size: 4 backend: LMDB } }
            layer { name: "drop" type: "Dropout" bottom: "data" top: "data" }
            layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
                    inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
            layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }
            """,
            param.net_param,
        )
        param.ClearField("net")
        return create_solver(param)

    whole, resumed = solver(), None
    whole.solve()
    resumed = solver()
    resumed.solve(f"{tmp_path}/s_iter_5.solverstate")
    assert np.array_equal(whole.net.flat_params.data, resumed.net.flat_params.data)
    assert np.array_equal(whole.history[0], resumed.history[0])
