"""What calls of pycaffe do to weights, gradients, blobs and files: numbers worked out by hand.

The net is y = W x + b with W = 1 (2 x 3), b = 0, x = 1 and the target 1, for four items, under half
the mean squared distance. So each dW = db = e, where e = 3 w + b - 1, and the loss is e^2.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe

pytestmark = pytest.mark.usefixtures("on_reference")

NET = """
layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { value: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" param { lr_mult: 1 }
  param { lr_mult: %s } inner_product_param { num_output: 2 weight_filler { value: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
SOLVER = """net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3
snapshot_prefix: "{folder}/s" snapshot_after_train: false {more}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET % 1)
    return tmp_path


def solver_in(folder: Path, more: str = "") -> Any:
    (folder / "solver.prototxt").write_text(SOLVER.format(folder=folder, more=more))
    return caffe.get_solver(str(folder / "solver.prototxt"))


def net_in(folder: Path, phase: int = caffe.TRAIN) -> Any:
    return caffe.Net(str(folder / "net.prototxt"), phase)


def one(array: Any) -> float:
    """The value that all elements have."""
    assert len(np.unique(array)) == 1
    return float(np.unique(array)[0])


def w_and_b(net: Any) -> list[float]:
    return [one(blob.data) for blob in net.params["ip"]]


# --- gradients ----------------------------------------------------------------------------------


def test_gradients_of_parameters_add_up_and_those_of_blobs_do_not(folder: Path) -> None:
    net = net_in(folder)
    for passes in (1, 2, 3):
        assert float(net.forward()["loss"]) == 4
        net.backward()
        assert [one(blob.diff) for blob in net.params["ip"]] == [2 * passes] * 2
        assert one(net.blobs["ip"].diff) == 0.5
    net.clear_param_diffs()
    assert [one(blob.diff) for blob in net.params["ip"]] == [0, 0]
    assert one(net.blobs["ip"].diff) == 0.5
    assert w_and_b(net) == [1, 0]


def test_a_losss_diff_is_its_weight_in_both_directions(folder: Path) -> None:
    net = net_in(folder)
    net.blobs["loss"].diff[...] = 3
    assert net.forward_pass() == 12
    assert float(net.blobs["loss"].data) == 4
    net.backward()
    assert one(net.params["ip"][0].diff) == 6
    net.clear_param_diffs()
    net.backward(loss=np.float32(5))
    assert one(net.params["ip"][0].diff) == 10


def test_a_part_of_the_net_begins_from_the_blobs_as_they_are(folder: Path) -> None:
    net = net_in(folder)
    net.forward()
    net.blobs["x"].data[...] = 2
    assert float(net.forward(start="ip")["loss"]) == 25  # 3 * 2 - 1
    net.blobs["ip"].data[...] = 4
    assert float(net.forward(start="loss")["loss"]) == 9
    net.blobs["ip"].diff[...] = 1
    net.backward(start="ip", end="ip")
    assert [one(blob.diff) for blob in net.params["ip"]] == [8, 4]  # 4 items, x = 2
    assert float(net.forward()["loss"]) == 25  # constants of DummyData are filled in once


def test_a_frozen_parameter_has_no_gradient_and_stays(folder: Path) -> None:
    (folder / "net.prototxt").write_text(NET % 0)
    solver = solver_in(folder, "weight_decay: 0.5")
    solver.step(1)
    assert w_and_b(solver.net) == [pytest.approx(1 - 0.1 * (2 + 0.5)), 0]
    assert one(solver.net.params["ip"][1].diff) == 0


# --- steps --------------------------------------------------------------------------------------


def test_a_step_leaves_the_change_in_the_diff(folder: Path) -> None:
    solver = solver_in(folder)
    solver.step(1)
    assert w_and_b(solver.net) == [pytest.approx(0.8), pytest.approx(-0.2)]
    assert [one(blob.diff) for blob in solver.net.params["ip"]] == [pytest.approx(0.2)] * 2
    solver.step(1)  # e = 3 * 0.8 - 0.2 - 1 = 1.2
    assert w_and_b(solver.net) == [pytest.approx(0.68), pytest.approx(-0.32)]
    assert float(solver.net.blobs["loss"].data) == pytest.approx(1.44)  # before the update


def test_step_goes_on_beyond_max_iter_and_solve_does_not(folder: Path) -> None:
    solver = solver_in(folder)
    solver.solve()
    at_three = w_and_b(solver.net)
    assert solver.iter == 3
    solver.solve()
    assert (solver.iter, w_and_b(solver.net)) == (3, at_three)
    solver.step(0)
    assert (solver.iter, w_and_b(solver.net)) == (3, at_three)
    solver.step(2)
    assert solver.iter == 5
    assert w_and_b(solver.net)[0] < at_three[0]


def test_batches_by_hand_are_those_of_iter_size(folder: Path) -> None:
    solver = solver_in(folder, "iter_size: 2 momentum: 0.5 weight_decay: 0.25")
    for _ in range(2):
        solver.net.clear_param_diffs()
        for _ in range(2):
            solver.net.forward()
            solver.net.backward()
        solver.apply_update()
    # the mean of equal gradients, then the decay: 0.1 * 2.25; 3 w + b - 1 = 1.125 the second time
    second = [0.5 * 0.225 + 0.1 * (1.125 + 0.25 * 0.775), 0.5 * 0.2 + 0.1 * (1.125 - 0.25 * 0.2)]
    assert w_and_b(solver.net) == [
        pytest.approx(0.775 - second[0]), pytest.approx(-0.2 - second[1])]  # fmt: skip
    other = solver_in(folder, "iter_size: 2 momentum: 0.5 weight_decay: 0.25")
    other.step(2)
    assert w_and_b(other.net) == w_and_b(solver.net)


def test_clipping_comes_before_the_mean_over_iter_size(folder: Path) -> None:
    solver = solver_in(folder, "iter_size: 2 clip_gradients: 1")
    solver.step(1)  # eight gradients of 4 become 1 / sqrt(8), then half of it
    assert w_and_b(solver.net)[0] == pytest.approx(1 - 0.1 * 0.5 / np.sqrt(8))


def test_what_is_written_into_a_net_is_what_is_trained(folder: Path) -> None:
    solver = solver_in(folder)
    solver.net.params["ip"][0].data[...] = 3
    solver.net.params["ip"][1].data.flat = [1, 2]
    solver.step(1)
    assert solver.net.params["ip"][0].data[:, 0].tolist() == pytest.approx([2.1, 2.0])
    assert solver.net.params["ip"][1].data.tolist() == pytest.approx([0.1, 1.0])


def test_a_changed_base_lr_holds_from_the_next_step(folder: Path) -> None:
    solver = solver_in(folder)
    solver.step(1)
    solver.param.base_lr = 0.5
    assert solver.lr == 0.5
    solver.step(1)
    assert w_and_b(solver.net)[0] == pytest.approx(0.8 - 0.5 * 1.2)


def test_callbacks_see_cleared_then_whole_gradients(folder: Path) -> None:
    solver, seen = solver_in(folder, "iter_size: 2 clip_gradients: 0.1"), []

    def look() -> None:
        seen.append((solver.iter, one(solver.net.params["ip"][0].diff), w_and_b(solver.net)[0]))

    solver.add_callback(look, look)
    solver.step(1)
    assert seen == [(0, 0, 1), (0, 4, 1)]  # not yet clipped, nor divided


def test_a_gradient_that_a_callback_changes_is_the_one_that_is_used(folder: Path) -> None:
    solver = solver_in(folder)

    def change() -> None:
        solver.net.params["ip"][0].diff[...] = 7

    solver.add_callback(lambda: None, change)
    solver.step(1)
    assert w_and_b(solver.net) == [pytest.approx(0.3), pytest.approx(-0.2)]


# --- test nets ----------------------------------------------------------------------------------


def test_test_nets_have_weights_of_their_own_until_they_are_tested(folder: Path) -> None:
    tested = "test_iter: 1 test_interval: 2 test_initialization: false"
    solver = solver_in(folder, tested)
    test = solver.test_nets[0]
    solver.step(2)
    assert w_and_b(test) == [1, 0]
    assert float(test.forward()["loss"]) == 4
    solver.step(1)  # tests before the third iteration, then trains
    assert w_and_b(test) == w_and_b(solver.net)
    e = 3 * w_and_b(test)[0] + w_and_b(test)[1] - 1
    assert float(test.forward()["loss"]) == pytest.approx(e**2, rel=1e-4)
    early = solver_in(folder, tested)
    early.test_nets[0].share_with(early.net)
    early.step(1)
    assert float(early.test_nets[0].forward()["loss"]) == pytest.approx(1.44)


# --- weights of other nets and files ------------------------------------------------------------


def test_copied_weights_are_independent_and_shared_ones_are_not(folder: Path) -> None:
    source, copied, shared = net_in(folder), net_in(folder), net_in(folder, caffe.TEST)
    source.params["ip"][0].data[...] = 5
    source.save(str(folder / "w"))
    copied.copy_from(str(folder / "w"))
    shared.share_with(source)
    assert w_and_b(copied) == w_and_b(shared) == [5, 0]
    source.params["ip"][0].data[...] = 6
    assert (w_and_b(copied)[0], w_and_b(shared)[0]) == (5, 6)
    shared.params["ip"][1].data[...] = 1
    assert (w_and_b(source), w_and_b(copied)) == ([6, 1], [5, 0])
    shared.copy_from(str(folder / "w"))  # into the memory of both
    assert w_and_b(source) == [5, 0]
    source.params["ip"][0].diff[...] = 2
    assert one(shared.params["ip"][0].diff) == 0  # gradients stay one's own


def test_layers_of_other_names_keep_their_weights(folder: Path) -> None:
    net_in(folder).save(str(folder / "w"))
    other = """layer { name: "other" type: "InnerProduct" bottom: "x" top: "other"
      inner_product_param { num_output: 1 } }"""
    (folder / "net.prototxt").write_text((NET % 1) + other)
    net = net_in(folder)
    net.params["other"][0].data[...] = 9
    net.copy_from(str(folder / "w"))
    assert one(net.params["other"][0].data) == 9


def test_a_restored_solver_has_the_history_of_the_first(folder: Path) -> None:
    solver = solver_in(folder, "momentum: 0.5")
    solver.step(1)
    solver.snapshot()
    for resumed in (solver_in(folder, "momentum: 0.5"), solver):
        resumed.net.params["ip"][0].data[...] = 77
        resumed.restore(str(folder / "s_iter_1.solverstate"))
        assert resumed.iter == 1
        assert w_and_b(resumed.net)[0] == pytest.approx(0.8)
        resumed.step(1)  # half of 0.2, and 0.1 * 1.2
        assert w_and_b(resumed.net)[0] == pytest.approx(0.8 - 0.1 - 0.12)


# --- blobs --------------------------------------------------------------------------------------


def test_a_blob_that_shrinks_keeps_its_values_and_one_that_grows_is_zero(folder: Path) -> None:
    blob = net_in(folder).blobs["x"]
    blob.data[...] = np.arange(12).reshape(4, 3)
    blob.reshape(2, 3)
    assert blob.data.tolist() == [[0, 1, 2], [3, 4, 5]]
    blob.reshape(3, 4)
    assert blob.data.ravel().tolist() == list(range(12))
    blob.reshape(5, 3)
    assert one(blob.data) == 0


def test_arrays_that_were_given_out_follow_the_net(folder: Path) -> None:
    solver = solver_in(folder)
    weight, loss = solver.net.params["ip"][0].data, solver.net.blobs["loss"].data
    solver.step(1)
    assert one(weight) == pytest.approx(0.8)
    assert float(loss) == 4
    weight[...] = 2
    assert float(solver.net.forward()["loss"]) == pytest.approx(4.8**2)
    assert float(loss) == pytest.approx(4.8**2)


def test_forward_all_gives_copies_and_leaves_the_last_batch(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 1 } } }
        layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { scale: 10 } }"""
    )
    net = net_in(tmp_path, caffe.TEST)
    given = net.forward_all(x=np.arange(1, 7).reshape(6, 1))["y"]
    assert given.tolist() == [[10], [20], [30], [40], [50], [60]]
    assert net.blobs["x"].data.tolist() == [[5], [6], [0], [0]]  # filled up with zeros
    net.forward(x=np.zeros((4, 1)))
    assert given.sum() == 210


# --- gradients of nets --------------------------------------------------------------------------

CHAIN = """force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "times" type: "Power" bottom: "x" top: "times" power_param { scale: 3 } }
layer { name: "r" type: "Reshape" bottom: "times" top: "r"
  reshape_param { shape { dim: 0 dim: 2 dim: 3 } } }
layer { name: "f" type: "Flatten" bottom: "r" top: "f" }
layer { name: "y" type: "Power" bottom: "f" top: "y" power_param { scale: 2 } }
"""


def test_nothing_comes_back_of_tops_without_diffs(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(CHAIN)
    net = net_in(tmp_path, caffe.TEST)
    net.forward(x=np.ones((2, 6)))
    assert one(net.backward()["x"]) == 0
    net.blobs["y"].diff[0] = 1
    assert net.backward()["x"].tolist() == [[6] * 6, [0] * 6]
    assert net.backward(end="r")["times"].tolist() == [[2] * 6, [0] * 6]


def test_gradients_go_through_layers_that_share_memory_at_every_size(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(CHAIN)
    net = net_in(tmp_path, caffe.TEST)
    for items in (2, 5, 1, 3):
        net.blobs["x"].reshape(items, 6)
        dy = np.arange(6 * items).reshape(items, 6)
        assert np.array_equal(net.forward(x=dy)["y"], 6 * dy)
        assert np.array_equal(net.backward(y=dy)["x"], 6 * dy)
        for name in ("times", "r", "f"):
            assert np.array_equal(net.blobs[name].diff.ravel(), 2 * dy.ravel())
            assert np.array_equal(net.blobs[name].data.ravel(), 3 * dy.ravel())


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "EuclideanLoss"])
def test_a_loss_of_weight_0_has_no_part_in_the_gradient(folder: Path, kind: str) -> None:
    label = "label" if kind == "SoftmaxWithLoss" else "y"
    more = """layer { name: "l" type: "DummyData" top: "label"
      dummy_data_param { shape { dim: 4 } data_filler { value: 1 } } }"""
    loss = (
        f'layer {{ name: "idle" type: "{kind}" bottom: "ip" bottom: "{label}" top: "idle"'
        " loss_weight: 0 }"
    )
    (folder / "net.prototxt").write_text(NET % 1 + more + loss)
    solver = solver_in(folder)
    solver.step(1)
    assert w_and_b(solver.net) == [pytest.approx(0.8), pytest.approx(-0.2)]
    assert one(solver.net.blobs["ip"].diff) == 0.5
