"""The solver's loop: iterations, callbacks, updates, tests."""

from itertools import pairwise

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.net.net import Net
from minicaffe.net.scores import Scores
from minicaffe.solver.create import create_solver
from tests.solver.small_solver import NET, gradient, make, parse, recorded, weights

# --- iterations ------------------------------------------------------------------------------


def test_an_iteration_calls_back_in_order():
    solver = make()
    calls = recorded(solver).calls
    solver.step(2)
    assert calls == ["start", 2, 1, 0, "ready", "done"] * 2
    assert solver.iter == 2


def test_layers_are_complete_after_the_last_batch_of_an_iteration_only():
    solver = make("iter_size: 3")
    recorder = recorded(solver)
    solver.step(1)
    assert recorder.calls == ["start", 2, 1, 0, "ready", "done"]


def test_an_iteration_tells_its_figures():
    solver = make("iter_size: 2 average_loss: 2 lr_policy: 'step' stepsize: 2 gamma: 0.5")
    recorder = recorded(solver)
    solver.step(4)
    iterations = recorder.iterations
    assert [each.number for each in iterations] == [0, 1, 2, 3]
    assert [each.lr for each in iterations] == [0.125, 0.125, 0.0625, 0.0625]
    assert {each.samples for each in iterations} == {8}
    assert all(each.seconds > 0 for each in iterations)
    losses = [each.loss for each in iterations]
    assert [each.smoothed_loss for each in iterations] == pytest.approx(
        [losses[0], *((a + b) / 2 for a, b in pairwise(losses))]
    )
    assert solver.smoothed_loss == iterations[-1].smoothed_loss


def test_iter_size_makes_the_update_of_a_larger_batch():
    large = NET.replace("dim: 4", "dim: 8")
    one, two = (
        make("momentum: 0.5 weight_decay: 0.25", large),
        make("momentum: 0.5 weight_decay: 0.25 iter_size: 2"),
    )
    one.net.callbacks.before_forward.clear()
    two.net.callbacks.before_forward.clear()
    x, y = np.random.default_rng(1).standard_normal((2, 8, 3)).astype(np.float32)
    rows = iter(range(0, 100, 4))

    def feed_half(layer):
        if layer == 0:
            row = next(rows) % 8
            two.net.blob_dict["x"].data[...] = x[row : row + 4]
            two.net.blob_dict["y"].data[...] = y[row : row + 4, :2]

    two.net.callbacks.before_forward.append(feed_half)
    one.net.blob_dict["x"].data[...] = x
    one.net.blob_dict["y"].data[...] = y[:, :2]
    one.step(3)
    two.step(3)
    np.testing.assert_allclose(weights(one), weights(two), rtol=1e-5, atol=1e-6)


def test_without_momentum_the_weights_fall_by_rate_times_gradient():
    solver = make()
    recorder = recorded(solver)
    before = weights(solver)
    solver.step(1)
    change = np.float32(0.125) * recorder.gradients[0]
    assert np.array_equal(weights(solver), before - change)
    assert np.array_equal(gradient(solver), change)  # as Caffe leaves it


@pytest.mark.parametrize(("kind", "of"), [("L2", lambda w: w), ("L1", np.sign)])
def test_weight_decay_pulls_towards_zero(kind, of):
    solver = make(f"weight_decay: 0.5 regularization_type: '{kind}'")
    recorder = recorded(solver)
    before = weights(solver)
    solver.step(1)
    expected = before - 0.125 * (recorder.gradients[0] + 0.5 * of(before))
    np.testing.assert_allclose(weights(solver), expected, rtol=1e-6)


def test_multipliers_scale_rate_and_decay_of_a_parameter():
    net = NET.replace(
        "inner_product_param", "param { lr_mult: 0 } param { lr_mult: 2 } inner_product_param"
    )
    solver = make(net=net)
    recorder = recorded(solver)
    before = weights(solver)
    solver.step(1)
    scale = np.array([0] * 6 + [2] * 2, np.float32)
    np.testing.assert_allclose(
        weights(solver), before - 0.125 * scale * recorder.gradients[0], rtol=1e-6
    )


def test_gradients_are_clipped_by_their_common_norm():
    solver = make("clip_gradients: 0.5 base_lr: 1")
    recorder = recorded(solver)
    solver.step(1)
    assert np.linalg.norm(recorder.gradients[0]) > 0.5
    assert np.linalg.norm(gradient(solver)) == pytest.approx(0.5)


def test_the_rate_follows_a_changed_base_lr():
    solver = make()
    solver.param.base_lr = 0.5
    assert solver.lr == 0.5


def test_an_update_by_hand():
    solver = make()
    before = weights(solver)
    solver.net.flat_params.diff[...] = 8
    assert solver.apply_update() == 0.125
    assert np.array_equal(weights(solver), before - 1)


def test_pycaffe_callbacks_are_two_functions():
    solver = make()
    calls = []
    solver.add_callback(lambda: calls.append("start"), lambda: calls.append("ready"))
    solver.step(1)
    assert calls == ["start", "ready"]


def test_a_solver_can_train_the_weights_of_another():
    one, other = make(), make("random_seed: 2")
    before = weights(one)
    one.share_weights(other.net)
    assert np.array_equal(other.net.layers[1].blobs[0].data[...].reshape(-1), before[:6])
    other.step(1)
    assert np.array_equal(one.net.layers[1].blobs[0].data, other.net.layers[1].blobs[0].data)
    assert not np.array_equal(weights(one), before)


def test_the_nets_are_built_by_a_class_of_the_callers_choice():
    class Mine(Net):
        pass

    param = parse("test_iter: 1 test_interval: 1")
    text_format.Parse(NET, param.net_param)
    solver = create_solver(param, net_class=Mine, device="reference")
    assert type(solver.net) is Mine
    assert type(solver.test_nets[0]) is Mine
    assert solver.net.device == "reference"


def test_a_net_without_parameters_makes_iterations():
    solver = make(
        "clip_gradients: 1",
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }',
    )
    solver.step(2)
    assert solver.iter == 2


# --- solving ---------------------------------------------------------------------------------


def test_solve_ends_at_max_iter():
    solver = make("max_iter: 3 snapshot_after_train: false")
    solver.solve()
    assert solver.iter == 3


def test_tests_take_place_every_test_interval():
    def tests(options):
        solver = make(f"test_iter: 2 test_interval: 3 max_iter: 6 snapshot_after_train: false "
                      f"{options}")  # fmt: skip
        found = []

        class Watch:
            def on_test(self, solver, index, results):
                found.append(solver.iter)

        solver.callbacks.append(Watch())
        solver.solve()
        return found

    assert tests("") == [0, 3, 6]
    assert tests("test_initialization: false") == [3, 6]
    assert tests("max_iter: 5") == [0, 3]


def test_a_test_uses_the_weights_of_its_moment_and_averages():
    solver = make("test_iter: 2 test_interval: 1")
    net = solver.test_nets[0]
    losses = []
    net.callbacks.after_forward.append(
        lambda layer: layer == 2 and losses.append(float(net.blob_dict["loss"].data))
    )
    recorder = recorded(solver)
    solver.step(2)
    tests = [call for call in recorder.calls if isinstance(call, tuple)]
    assert tests == [
        (0, {"loss": pytest.approx(np.mean(losses[:2]))}),
        (0, {"loss": pytest.approx(np.mean(losses[2:]))}),
    ]
    assert np.array_equal(net.layers[1].blobs[0].data, solver.net.layers[1].blobs[0].data)


def test_scores_number_the_elements_of_longer_outputs():
    scores = Scores(["a", "b", "b"], np.array([1, 2, 3], np.float32), 0)
    assert scores.by_name() == {"a": 1, "b[0]": 2, "b[1]": 3}
