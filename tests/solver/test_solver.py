"""The solver's loop: nets, callbacks, updates, tests, requests."""

import logging
from itertools import pairwise

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe import context
from minicaffe.errors import Error, SolverError
from minicaffe.net.net import Net
from minicaffe.net.scores import Scores
from minicaffe.net.weights import save_weights
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.random_stream.generator import Generator
from minicaffe.solver.solver import create_solver

NET = """
    name: "line"
    layer { name: "data" type: "Input" top: "x" top: "y"
            input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
            inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
WITH_PHASES = """
    layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 1 } } }
    layer { name: "train" type: "Power" bottom: "x" top: "train" include { phase: TRAIN } }
    layer { name: "test" type: "Power" bottom: "x" top: "test" include { phase: TEST } }
    layer { name: "deep" type: "Power" bottom: "x" top: "deep" include { min_level: 2 } }
    layer { name: "a" type: "Power" bottom: "x" top: "a" include { stage: "a" } }
    layer { name: "b" type: "Power" bottom: "x" top: "b" include { stage: "b" } }
"""


def parse(text):
    return text_format.Parse(text, pb.SolverParameter())


def make(options="", net=NET, feed=True):
    """A solver of a net within its parameters; every batch is another, the same in every run."""
    param = parse("base_lr: 0.125 lr_policy: 'fixed' random_seed: 1")
    text_format.Merge(options, param)
    text_format.Parse(net, param.net_param)
    solver = create_solver(param)
    if feed:
        for trained in (solver.net, *solver.test_nets):
            feed_random(trained)
    return solver


def feed_random(net, seed=3):
    random = np.random.default_rng(seed)

    def fill(layer):
        if layer == 0:
            for blob in net.input_blobs:
                blob.data[...] = random.standard_normal(blob.shape)

    net.callbacks.before_forward.append(fill)


def weights(solver):
    return np.asarray(solver.net.flat_params.data).copy()


def gradient(solver):
    return np.asarray(solver.net.flat_params.diff).copy()


class Recorder:
    """A callback that writes down what it is told."""

    def __init__(self):
        self.calls = []
        self.iterations = []
        self.gradients = []

    def on_start(self, solver):
        self.calls.append("start")

    def after_backward(self, solver, layer_index):
        self.calls.append(layer_index)

    def on_gradients_ready(self, solver):
        self.calls.append("ready")
        self.gradients.append(gradient(solver))

    def on_iteration(self, solver, iteration):
        self.calls.append("done")
        self.iterations.append(iteration)

    def on_test(self, solver, index, results):
        self.calls.append((index, results))


def recorded(solver):
    solver.callbacks.append(Recorder())
    return solver.callbacks[-1]


# --- nets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["net", "net_param", "train_net", "train_net_param"])
def test_the_training_net_may_stand_in_four_places(field, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    value = f"{{ {NET} }}" if field.endswith("param") else f": '{tmp_path}/net.prototxt'"
    solver = create_solver(parse(f"{field} {value}"))
    assert solver.net.layer_names == ["data", "ip", "loss"]
    assert solver.net.phase == pb.TRAIN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "exactly one of net, net_param, train_net, train_net_param; this has none"),
        ("net: 'a' train_net: 'b'", "this has net and train_net"),
        ("net_param { } test_iter: 0 test_interval: 1", r"test_iter must be above 0, not \[0\]"),
        ("net_param { } test_iter: 1", "test nets need test_interval > 0, not 0"),
        ("train_net_param { } test_iter: 1 test_interval: 1", "0 of their own; it is given 1"),
        ("train_net_param { } test_net: 'a' test_interval: 1", "1 of their own; it is given 0"),
        (
            "net_param { } test_net: 'a' test_interval: 1",
            "1 of their own, any number of the common net; it is given 0",
        ),
        (
            "net_param { } test_iter: 1 test_interval: 1 test_state { } test_state { }",
            "for none or for all 1 test nets, not for 2",
        ),
        ("net_param { } average_loss: 0", "average_loss must be at least 1, not 0"),
        ("net_param { } iter_size: 0", "iter_size must be at least 1, not 0"),
        ("net_param { } regularization_type: 'L3'", "no regularization_type 'L3'"),
        ("net_param { } lr_policy: 'often'", "no lr_policy 'often'"),
        ("net_param { } snapshot: 5", "snapshot: 5 needs a snapshot_prefix"),
        ("net_param { } snapshot: 5 snapshot_prefix: '/no/such/dir/x'", "cannot write to snapshot"),
        ("net_param { } type: 'AdaGrad' momentum: 0.9", "AdaGrad has no momentum"),
        ("net_param { } type: 'RMSProp' momentum: 0.9", "RMSProp has no momentum"),
        ("net_param { } type: 'RMSProp' rms_decay: 1", r"rms_decay must be in \[0, 1\), not 1"),
        ("net_param { } type: 'Adam' momentum: 1", r"Adam needs momentum in \[0, 1\), not 1"),
        ("net_param { } type: 'Adam' momentum2: 1", r"Adam needs momentum2 in \[0, 1\), not 1"),
        (
            "net_param { } type: 'Adagrad'",
            "no solver type 'Adagrad' .there are: AdaDelta, AdaGrad, Adam, Nesterov, RMSProp, SGD",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(text, message):
    with pytest.raises(Error, match=message):
        create_solver(parse(text))


def test_test_nets_come_in_order_own_nets_first(tmp_path):
    (tmp_path / "file.prototxt").write_text(f'name: "file" {WITH_PHASES}')
    solver = create_solver(
        parse(f"""
            net_param {{ name: "common" {WITH_PHASES} }}
            test_net: "{tmp_path}/file.prototxt"
            test_net_param {{ name: "own" {WITH_PHASES} }}
            test_iter: 1 test_iter: 1 test_iter: 1 test_iter: 1 test_interval: 1
            test_state {{ }} test_state {{ stage: "a" }} test_state {{ stage: "b" level: 2 }}
            test_state {{ phase: TRAIN }}
        """)
    )
    assert [net.name for net in solver.test_nets] == ["own", "file", "common", "common"]
    kept = [{"train", "test", "deep", "a", "b"} & set(n.layer_names) for n in solver.test_nets]
    assert kept == [{"test"}, {"test", "a"}, {"test", "deep", "b"}, {"train"}]
    assert {"train"} == {"train", "test", "deep"} & set(solver.net.layer_names)


def test_states_merge_the_phase_by_default_the_net_file_the_solver():
    solver = create_solver(
        parse(f"""
            net_param {{ state {{ phase: TEST level: 1 stage: "a" }} {WITH_PHASES} }}
            train_state {{ level: 3 stage: "b" }}
        """)
    )
    assert {"test", "deep", "a", "b"} == set(solver.net.layer_names) & {
        "train", "test", "deep", "a", "b"
    }  # fmt: skip


def test_a_seed_and_the_rank_decide_the_first_weights():
    def first_weights(rank):
        context.current().solver_rank = rank
        return np.asarray(make().net.layers[1].blobs[0].data).reshape(-1).tolist()

    assert first_weights(0) == Generator(1).gaussian(6).tolist()
    assert first_weights(2) == Generator(3).gaussian(6).tolist()


def test_weights_are_loaded_into_all_nets(tmp_path):
    other = make("random_seed: 9")
    bias = make(net=NET.replace('name: "ip"', 'name: "unknown"'))
    save_weights(other.net, f"{tmp_path}/a.caffemodel")
    save_weights(bias.net, f"{tmp_path}/b.caffemodel")
    solver = make(
        f"weights: '{tmp_path}/a.caffemodel, {tmp_path}/b.caffemodel' test_iter: 1 test_interval: 1"
    )
    for net in (solver.net, solver.test_nets[0]):
        assert np.array_equal(net.flat_params.data, other.net.flat_params.data)


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
    other.share_weights(one.net)
    other.step(1)
    assert np.array_equal(one.net.layers[1].blobs[0].data, other.net.layers[1].blobs[0].data)


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


# --- requests --------------------------------------------------------------------------------


def test_a_stop_takes_effect_at_the_end_of_the_iteration():
    solver = make("max_iter: 10 snapshot_after_train: false")
    solver.add_callback(lambda: solver.iter == 2 and solver.request("stop"), lambda: None)
    solver.solve()
    assert solver.iter == 3
    solver.solve()
    assert solver.iter == 10


def test_a_stop_interrupts_a_test():
    solver = make("test_iter: 100 test_interval: 1")
    forwards = []
    solver.test_nets[0].callbacks.before_forward.append(forwards.append)
    solver.request("stop")
    solver.step(5)
    assert forwards == []
    assert solver.iter == 1


def test_a_snapshot_can_be_asked_for(tmp_path):
    solver = make(f"snapshot_prefix: '{tmp_path}/s'")
    solver.request("snapshot")
    solver.step(3)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "s_iter_1.caffemodel", "s_iter_1.solverstate"
    ]  # fmt: skip


def test_other_requests_are_refused():
    with pytest.raises(SolverError, match="no request 'pause' .there are: snapshot, stop"):
        make().request("pause")


def test_a_callback_may_decide_which_requests_hold():
    class Agreement:
        def __init__(self):
            self.seen = []

        def on_requests(self, solver, requests):
            self.seen.append(requests)
            return {"stop"} if len(self.seen) == 3 else set()

    solver = make()
    agreement = Agreement()
    solver.callbacks.append(agreement)
    solver.request("stop")
    solver.step(5)
    assert solver.iter == 3
    assert agreement.seen == [{"stop"}, set(), set()]


# --- ranks -----------------------------------------------------------------------------------


@pytest.fixture
def rank_1():
    context.current().solver_rank = 1
    context.current().solver_count = 2


def test_other_ranks_neither_test_nor_write_nor_speak(rank_1, tmp_path, caplog):
    caplog.set_level(logging.INFO, "minicaffe.solver")
    solver = make(
        f"test_iter: 1 test_interval: 1 snapshot: 1 snapshot_prefix: '{tmp_path}/s' max_iter: 2 "
        "display: 1 clip_gradients: 0.01"
    )
    recorder = recorded(solver)
    solver.solve()
    assert solver.iter == 2
    assert solver.test_nets == []
    assert not any(isinstance(call, tuple) for call in recorder.calls)
    assert not list(tmp_path.iterdir())
    assert [record for record in caplog.records if record.name == "minicaffe.solver"] == []


class TestTogether:
    """A callback through which all ranks take part in a test."""

    __test__ = False

    def run_test(self, solver, index):
        solver.build_test_nets()
        return Scores(["loss"], np.array([7], np.float32), 7)


@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_test_together_where_a_callback_does(rank):
    context.current().solver_rank = rank
    solver = make("test_iter: 1 test_interval: 2 max_iter: 2 snapshot_after_train: false")
    recorder = recorded(solver)
    solver.callbacks.append(TestTogether())
    solver.solve()
    assert [call for call in recorder.calls if isinstance(call, tuple)] == [(0, {"loss": 7})] * 2
    assert len(solver.test_nets) == 1


def test_test_nets_built_later_leave_the_random_stream_alone(rank_1):
    solver = make("test_iter: 1 test_interval: 1")
    state = context.current().rng.get_state()
    solver.build_test_nets()
    assert context.current().rng.get_state() == state
