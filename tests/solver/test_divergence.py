"""Numbers that are not finite: said once, with the place; and settings that cannot train."""

import logging

import numpy as np
import pytest

from minicaffe.errors import LayerError, SnapshotError, SolverError
from minicaffe.net.not_finite import first_not_finite
from tests.solver.small_solver import NET, make

RATE = "base_lr: 1e30 max_iter: 8 snapshot_after_train: false"


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, "minicaffe")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own word
def test_the_first_blob_that_is_not_finite_is_named_once(warnings, device):
    make(RATE, device=device).solve()
    [text] = warnings()
    assert "loss is inf since iteration 1: " in text
    assert "blob 'loss' of layer 'loss' is the first that is not finite" in text


def test_a_parameter_comes_before_what_is_computed_with_it(warnings):
    solver = make(RATE)
    solver.step(1)
    solver.net.layers[1].blobs[1].data[1] = np.nan
    solver.step(3)
    [text] = warnings()
    assert "loss is nan since iteration 1: parameter 1 of layer 'ip' is the first" in text


def test_the_input_may_be_the_cause(warnings):
    solver = make("", feed=False)
    solver.net.blob_dict["y"].data[2, 1] = np.inf
    solver.step(2)
    assert "blob 'y' of layer 'data' is the first that is not finite" in warnings()[0]


def test_layers_that_write_in_place_are_named_too():
    relu = 'layer { name: "act" type: "ReLU" bottom: "ip" top: "ip" } layer { name: "loss"'
    solver = make("", NET.replace('layer { name: "loss"', relu))
    solver.net.layers[1].blobs[0].data[...] = 3e38
    assert first_not_finite(solver.net) == ""
    solver.net.forward_pass()
    where = "blob 'ip' of layer 'ip' (written in place by 'act') is the first that is not finite"
    assert first_not_finite(solver.net) == where


HINGE = """
    layer { name: "data" type: "Input" top: "x" top: "y"
            input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
            inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
    layer { name: "loss" type: "HingeLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


def hinge(options=""):
    """A solver whose loss is 0 over scores that are nan: the largest of 0 and nan is 0."""
    solver = make(f"max_iter: 250 snapshot_after_train: false {options}", HINGE, feed=False)
    solver.net.blob_dict["x"].data[...] = 1
    return solver


def test_weights_that_are_nan_under_a_finite_loss_are_found_in_time(warnings, device):
    solver = make("", HINGE, feed=False, device=device)
    solver.step(3)
    solver.net.layers[1].blobs[0].data[1, 1] = np.nan
    solver.step(97)
    assert warnings() == []
    solver.step(101)
    [text] = warnings()
    assert "loss is 0 at iteration 100, and means nothing: parameter 0 of layer 'ip' is" in text


def test_scores_that_are_nan_under_finite_weights_are_found_in_time(warnings):
    solver = hinge()
    solver.step(1)
    solver.net.blob_dict["x"].data[2, 0] = np.inf
    solver.step(100)
    assert "blob 'x' of layer 'data' is the first that is not finite" in warnings()[0]


def test_they_are_found_where_a_test_is_due(warnings):
    solver = hinge(f"test_iter: 1 test_interval: 7 test_net_param {{ {HINGE} }}")
    solver.step(3)
    solver.net.layers[1].blobs[1].data[0] = np.nan
    solver.step(5)
    assert "at iteration 7, and means nothing: parameter 1 of layer 'ip'" in warnings()[0]


def test_they_are_found_before_they_are_written_and_at_the_end(warnings, tmp_path):
    solver = hinge(f"snapshot_prefix: '{tmp_path}/s'")
    solver.step(3)
    solver.net.layers[1].blobs[0].data[...] = np.inf
    solver.snapshot()
    [text] = warnings()
    assert "the weights are not finite after iteration 2: parameter 0 of layer 'ip' is" in text
    solver.snapshot()
    assert len(warnings()) == 1
    other = hinge()
    other.net.callbacks.before_forward.append(
        lambda layer: other.iter == 249 and other.net.layers[1].blobs[0].data.fill(np.nan)
    )
    other.solve()
    assert "the weights are not finite after iteration 249" in warnings()[1]


def test_a_training_that_stays_finite_says_nothing(warnings):
    make("max_iter: 3 snapshot_after_train: false").solve()
    assert warnings() == []


def test_a_callback_is_told_instead_of_the_log(warnings):
    class Listener:
        def __init__(self):
            self.told = []

        def on_divergence(self, text):
            self.told.append(text)

    solver, listener = make(RATE), Listener()
    solver.callbacks.append(listener)
    solver.step(5)
    assert len(listener.told) == 1
    assert warnings() == []


SETTINGS = [
    ("base_lr: nan", "base_lr must be at least 0, not nan"),
    ("base_lr: inf", "base_lr must be at least 0, not inf"),
    ("base_lr: -1", "base_lr must be at least 0, not -1"),
    ("momentum: nan", r"momentum must be in \[0, 1\], not nan"),
    ("momentum: -5", r"momentum must be in \[0, 1\], not -5"),
    ("momentum: 1.5", r"momentum must be in \[0, 1\], not 1.5"),
    ("type: 'Adam' momentum2: nan", r"momentum2 must be in \[0, 1\], not nan"),
    ("type: 'RMSProp' rms_decay: -inf", r"rms_decay must be in \[0, 1\], not -inf"),
    ("type: 'AdaGrad' delta: nan", "delta must be at least 0, not nan"),
    ("type: 'AdaDelta' delta: -1e-8", "delta must be at least 0, not -1e-08"),
    ("weight_decay: nan", "weight_decay must be at least 0, not nan"),
    ("weight_decay: -0.5", "weight_decay must be at least 0, not -0.5"),
    ("clip_gradients: nan", "clip_gradients must be a finite number, not nan"),
    ("lr_policy: 'inv' gamma: nan power: 1", "gamma must be a finite number, not nan"),
    ("lr_policy: 'poly' power: inf max_iter: 9", "power must be a finite number, not inf"),
    ("iter_size: 0", "iter_size must be at least 1, not 0"),
]


@pytest.mark.parametrize(("options", "sentence"), SETTINGS)
def test_settings_that_cannot_train_are_refused(options, sentence):
    with pytest.raises(SolverError, match=sentence):
        make(options)


@pytest.mark.parametrize("options", ["momentum: 0", "momentum: 1", "base_lr: 0", "delta: 0",
                                     "clip_gradients: -1", "power: -1"])  # fmt: skip
def test_the_ends_of_the_ranges_can_train(options):
    make(options).step(1)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("param { lr_mult: nan }", "'ip'.*lr_mult and decay_mult must be finite numbers"),
        ("param { decay_mult: inf }", "'ip'.*lr_mult and decay_mult must be finite numbers"),
        ("loss_weight: nan", "loss_weight must be finite, not .nan"),
    ],
)
def test_factors_of_a_net_that_are_not_finite_are_refused(field, sentence):
    net = NET.replace('name: "ip" type', f'name: "ip" {field} type')
    with pytest.raises(LayerError, match=sentence):
        make("", net)


@pytest.mark.parametrize("options", ["", "snapshot: 0", "snapshot: 3", "snapshot_format: HDF5"])
def test_a_missing_folder_is_found_before_the_first_iteration(tmp_path, options):
    done = []
    with pytest.raises(SnapshotError, match="no_such.*directory must exist"):
        solver = make(f"max_iter: 4 snapshot_prefix: '{tmp_path}/no_such/s' {options}")
        solver.add_callback(lambda: done.append(1), lambda: None)
        solver.solve()
    assert done == []


def test_a_final_snapshot_without_a_prefix_is_refused_before_the_first_iteration():
    solver = make("max_iter: 4")
    with pytest.raises(SolverError, match="a snapshot needs a snapshot_prefix"):
        solver.solve()
    assert solver.iter == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_solver_that_stops_at_nan_keeps_the_state_before(tmp_path, warnings):
    solver = make(f"{RATE} snapshot_prefix: '{tmp_path}/s'")
    solver.stops_at_nan = True
    with pytest.raises(
        SolverError, match=r"loss is inf since iteration 1: .*snapshot of iteration 1 .-on_nan go"
    ):
        solver.solve()
    assert solver.iter == 1
    again = make(f"snapshot_prefix: '{tmp_path}/s'")
    again.restore(f"{tmp_path}/s_iter_1.solverstate")
    assert np.isfinite(again.net.flat_params.data.read("cpu")).all()


def test_weights_that_are_not_finite_are_no_state_to_keep(tmp_path):
    solver = make(f"snapshot_prefix: '{tmp_path}/s'")
    solver.stops_at_nan = True
    solver.step(1)
    solver.net.layers[1].blobs[1].data[1] = np.nan
    with pytest.raises(SolverError, match="no snapshot is written, for the weights are not finite"):
        solver.step(3)
    assert list(tmp_path.iterdir()) == []


def test_an_end_without_a_place_for_snapshots_says_so():
    solver = make("")
    solver.stops_at_nan = True
    solver.net.blob_dict["y"].data[2, 1] = np.nan
    solver.net.callbacks.before_forward.append(
        lambda layer: solver.net.blob_dict["y"].data.__setitem__((2, 1), np.nan)
    )
    with pytest.raises(SolverError, match="there is no snapshot of the state before: a snapshot"):
        solver.step(3)
