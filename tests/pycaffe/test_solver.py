"""Solvers as pycaffe's scripts use them."""

from pathlib import Path

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.errors import SolverError
from minicaffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("on_reference")

SOLVER = """
train_net: "{folder}/train.prototxt"
test_net: "{folder}/test.prototxt" test_iter: 2 test_interval: 2
base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 6 snapshot_prefix: "{folder}/small"
random_seed: 7 snapshot_after_train: false
"""


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


def test_a_net_takes_the_weights_of_a_solver(solver_file: str) -> None:
    solver, other = caffe.SGDSolver(solver_file), caffe.SGDSolver(solver_file)
    solver.step(1)
    trained = solver.net.params["ip"][0].data.copy()
    other.net.params["ip"][0].data[...] = 5
    solver.share_weights(other.net)
    for each in (solver, other):
        assert np.array_equal(each.net.params["ip"][0].data, trained)
    solver.step(1)
    assert not np.array_equal(solver.net.params["ip"][0].data, trained)
    assert np.array_equal(solver.net.params["ip"][0].data, other.net.params["ip"][0].data)


@pytest.mark.parametrize(
    "more",
    [
        'lr_policy: "step" stepsize: 2 gamma: 0.1 momentum: 0.9',
        'lr_policy: "multistep" stepvalue: 2 stepvalue: 4 gamma: 0.1 weight_decay: 0.1',
        'lr_policy: "fixed" type: "Adam" momentum: 0.9 momentum2: 0.999',
        'lr_policy: "poly" power: 1 type: "Nesterov" momentum: 0.9 clip_gradients: 0.1',
    ],
)
def test_iterations_by_hand_are_those_of_step(solver_file: str, tmp_path: Path, more: str) -> None:
    lines = Path(solver_file).read_text().splitlines()
    lines = [line for line in lines if not line.startswith(("test_net", "base_lr"))]
    Path(solver_file).write_text("\n".join([*lines, "base_lr: 0.1 max_iter: 6", more]))
    solver = caffe.get_solver(solver_file)
    solver.step(6)
    other = caffe.get_solver(solver_file)  # with the same seed
    for _ in range(6):
        other.net.clear_param_diffs()
        other.net.forward()
        other.net.backward()
        other.apply_update()
    assert (solver.iter, other.iter) == (6, 6)
    assert other.lr == solver.lr
    for mine, theirs in zip(solver.net.params["ip"], other.net.params["ip"], strict=True):
        assert np.array_equal(mine.data, theirs.data)
    other.snapshot()
    assert (tmp_path / "solver_iter_6.caffemodel").is_file()


def test_test_nets_follow_a_restored_solver(solver_file: str, tmp_path: Path) -> None:
    solver = caffe.SGDSolver(solver_file)
    solver.step(3)
    solver.snapshot()
    other = caffe.SGDSolver(solver_file)
    other.restore(str(tmp_path / "small_iter_3.solverstate"))
    for net in (other.net, *other.test_nets):
        for mine, theirs in zip(solver.net.params["ip"], net.params["ip"], strict=True):
            assert np.array_equal(mine.data, theirs.data)
    other.step(1)
    assert np.array_equal(other.test_nets[0].params["ip"][0].data, other.net.params["ip"][0].data)
