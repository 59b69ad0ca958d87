"""Snapshots of a training: when they come, what is in them, and how it goes on from one."""

import os
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe import context
from minicaffe.errors import Error, SnapshotError, SolverError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.random_stream.generator import Generator
from minicaffe.solver.create import create_solver
from minicaffe.solver.state_file import load_state, save_state_hdf5
from tests.solver.snapshots import FORMATS, NET, SUFFIX, files, make, weights

RULES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rule", RULES)
def test_a_training_resumed_gives_the_bits_of_one_that_was_not_stopped(tmp_path, rule, kind):
    momentum = 0 if rule in ("AdaGrad", "RMSProp") else 0.75
    options = (
        f"type: '{rule}' momentum: {momentum} delta: 0.001 weight_decay: 0.01 "
        f"snapshot_format: {kind} snapshot: 3"
    )
    whole = make(tmp_path, options)
    whole.solve()
    context.set_random_seed(99)
    resumed = make(tmp_path, options + " random_seed: 77")
    resumed.solve(f"{tmp_path}/s_iter_3.solverstate{SUFFIX[kind]}")
    assert resumed.iter == 6
    assert np.array_equal(weights(resumed), weights(whole))
    for one, other in zip(resumed.history, whole.history, strict=True):
        assert np.array_equal(one, other)
    assert resumed.rate.current_step == whole.rate.current_step == 2
    assert context.current().rng.get_state() == load_state(
        f"{tmp_path}/s_iter_6.solverstate{SUFFIX[kind]}"
    ).random_state[0]  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_snapshots_come_every_so_many_iterations_and_at_the_end(tmp_path, kind):
    make(tmp_path, f"snapshot: 2 max_iter: 5 snapshot_format: {kind}").solve()
    end = SUFFIX[kind]
    assert files(tmp_path) == sorted(
        f"s_iter_{i}.{what}{end}" for i in (2, 4, 5) for what in ("caffemodel", "solverstate")
    )


@pytest.mark.parametrize(
    ("options", "expected"), [("snapshot_after_train: false", 0), ("snapshot: 6", 2), ("", 2)]
)
def test_the_snapshot_after_training(tmp_path, options, expected):
    make(tmp_path, options).solve()
    assert len(files(tmp_path)) == expected


def test_a_snapshot_without_a_prefix_is_refused():
    param = pb.SolverParameter(base_lr=1, lr_policy="fixed")
    text_format.Parse(NET, param.net_param)
    with pytest.raises(SolverError, match="needs a snapshot_prefix"):
        create_solver(param).snapshot()


def test_a_moved_snapshot_is_found_beside_its_state(tmp_path):
    solver = make(tmp_path, "max_iter: 1")
    solver.solve()
    (tmp_path / "new").mkdir()
    for name in files(tmp_path)[1:]:
        os.replace(tmp_path / name, tmp_path / "new" / name)
    other = make(tmp_path, "random_seed: 5")
    other.restore(f"{tmp_path}/new/s_iter_1.solverstate")
    assert np.array_equal(weights(other), weights(solver))


def spoiled(tmp_path, change):
    make(tmp_path, "max_iter: 1 momentum: 0.5").solve()
    path = tmp_path / "s_iter_1.solverstate"
    state = pb.SolverState.FromString(path.read_bytes())
    change(state)
    path.write_bytes(state.SerializeToString())
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.history.pop(), "3 history blobs; SGD with 4 parameters has 4"),
        (
            lambda state: state.history[1].shape.dim.append(1),
            r"history blob 1 has shape \(3, 1\) and 3 values, its parameter a/1 has \(3,\)",
        ),
        (
            lambda state: state.history[1].data.pop(),
            r"history blob 1 has shape \(3,\) and 2 values, its parameter a/1 has \(3,\)",
        ),
        (
            lambda state: state.random_state.__setitem__(0, b"MT19937"),
            r"not the state of a random generator \(7 bytes",
        ),
        (
            lambda state: setattr(state, "iter", -1),
            r"not a solver state .iteration -1, step 0",
        ),
        (lambda state: state.ClearField("iter"), "not a solver state .it has no iteration"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, change, message):
    path = spoiled(tmp_path, change)
    solver = make(tmp_path, "random_seed: 5 momentum: 0.5")
    before = weights(solver)
    with pytest.raises(SnapshotError, match=f"{path}: .*{message}"):
        solver.restore(path)
    assert np.array_equal(weights(solver), before)
    assert solver.iter == 0


def test_weights_that_were_renamed_with_their_state_are_found(tmp_path):
    path = spoiled(tmp_path, lambda state: setattr(state, "learned_net", "gone.caffemodel"))
    beside = Path(path.replace(".solverstate", ".caffemodel"))
    solver = make(tmp_path, "random_seed: 5 momentum: 0.5")
    solver.restore(path)
    before = weights(solver)
    beside.unlink()
    missing = f"weights are missing: no gone.caffemodel, no /.*/gone.caffemodel, no {beside}"
    with pytest.raises(SnapshotError, match=f"{path}: .*{missing}"):
        solver.restore(path)
    assert np.array_equal(weights(solver), before)


def test_a_state_of_another_rule_does_not_fit(tmp_path):
    make(tmp_path, "max_iter: 1").solve()
    with pytest.raises(SnapshotError, match="of a solver of type SGD, this one is Adam"):
        make(tmp_path, "type: 'Adam'").restore(f"{tmp_path}/s_iter_1.solverstate")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*x: No such file"),
        (b"", "empty file"),
        (b"\xff\xff\xff", "not a SolverState"),
        (b"\x89HDF\r\n\x1a\n and so on", "cannot read HDF5 file"),
    ],
)
def test_a_file_that_is_no_state_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(Error, match=message):
        load_state(f"{tmp_path}/x")


def test_an_hdf5_file_of_something_else_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x", "w") as file:
        file["iter"] = [1]
    with pytest.raises(SnapshotError, match="not a solver state .it has no 'learned_net'"):
        load_state(f"{tmp_path}/x")


def test_a_state_survives_hdf5(tmp_path):
    pytest.importorskip("h5py")
    state = pb.SolverState(
        iter=7, learned_net="ü.caffemodel", current_step=2, random_state=[b"abc", b"\0\1\0"]
    )
    save_state_hdf5(state, f"{tmp_path}/x")
    assert load_state(f"{tmp_path}/x") == state


def test_each_rank_takes_its_own_random_state(tmp_path):
    states = [Generator(seed).get_state() for seed in (10, 20)]

    class Ranks:
        def gather_random_states(self, solver):
            return states

    solver = make(tmp_path)
    solver.callbacks.append(Ranks())
    solver.snapshot()
    for rank in (0, 1):
        context.current().solver_rank = rank
        make(tmp_path).restore(f"{tmp_path}/s_iter_0.solverstate")
        assert context.current().rng.get_state() == states[rank]


def test_a_rank_without_a_random_state_begins_anew(tmp_path, caplog):
    make(tmp_path, "max_iter: 2").solve()
    context.current().solver_rank = 3
    solver = make(tmp_path)
    fresh = context.current().rng.get_state()
    with caplog.at_level("INFO"):
        solver.restore(f"{tmp_path}/s_iter_2.solverstate")
    assert "no random state for rank 3" in caplog.text
    assert context.current().rng.get_state() != fresh


def test_data_layers_are_moved_to_the_batch_that_follows(tmp_path, monkeypatch):
    options = "test_iter: 7 test_interval: 2 iter_size: 3 max_iter: 3"
    make(tmp_path, options).solve()
    solver = make(tmp_path, options)
    places = {}
    for name, net in (("train", solver.net), ("test", solver.test_nets[0])):
        monkeypatch.setattr(net, "seek", lambda batch, name=name: places.update({name: batch}))
    solver.restore(f"{tmp_path}/s_iter_3.solverstate")
    assert places == {"train": 9, "test": 14}
