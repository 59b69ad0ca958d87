"""Learning rate policies: tables by hand, Caffe's bits, and what they refuse."""

import json

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.errors import SolverError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.learning_rate import POLICIES, LearningRate


def policy(text):
    return LearningRate(text_format.Parse(text, pb.SolverParameter()))


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("base_lr: 0.5 lr_policy: 'fixed'", [0.5, 0.5, 0.5]),
        ("base_lr: 1 lr_policy: 'step' gamma: 0.5 stepsize: 2", [1, 1, 0.5, 0.5, 0.25]),
        ("base_lr: 1 lr_policy: 'step' gamma: 0 stepsize: 2", [1, 1, 0, 0]),
        ("base_lr: 2 lr_policy: 'exp' gamma: 0.5", [2, 1, 0.5, 0.25]),
        ("base_lr: 1 lr_policy: 'inv' gamma: 1 power: 2", [1, 1 / 4, 1 / 9, 1 / 16]),
        ("base_lr: 1 lr_policy: 'multistep' gamma: 0.5 stepvalue: [1, 3]", [1, 0.5, 0.5, 0.25]),
        ("base_lr: 1 lr_policy: 'multistep' gamma: 0.5", [1, 1, 1]),
        # Equal step values take an iteration each.
        ("base_lr: 1 lr_policy: 'multistep' gamma: 0.5 stepvalue: [1, 1]", [1, 0.5, 0.25, 0.25]),
        ("base_lr: 1 lr_policy: 'poly' power: 2 max_iter: 4", [1, 9 / 16, 1 / 4, 1 / 16, 0]),
        (
            "base_lr: 1 lr_policy: 'sigmoid' gamma: -1 stepsize: 1",
            [1 / (1 + np.exp(-1)), 0.5, 1 / (1 + np.e)],
        ),
    ],
)
def test_rates_follow_their_formula(text, rates):
    rate = policy(text)
    assert [rate(i) for i in range(len(rates))] == pytest.approx(rates, rel=1e-6)
    assert rate(0).dtype == np.float32


def test_rates_are_those_of_caffe_to_the_bit(goldens):
    cases = json.loads((goldens / "index.json").read_text())["cases"]
    seen = set()
    for case in cases:
        if case["kind"] != "solver":
            continue
        param = pb.SolverParameter()
        text_format.Parse((goldens / case["files"]["prototxt"]).read_text(), param)
        rate = LearningRate(param)
        with np.load(goldens / case["files"]["npz"]) as arrays:
            assert [rate(i) for i in range(case["iters"])] == arrays["lr"].tolist(), case["name"]
            assert rate.current_step == arrays["it9/current_step"], case["name"]
        seen.add(param.lr_policy)
    assert seen == set(POLICIES)


def test_steps_are_counted():
    rate = policy("base_lr: 1 lr_policy: 'step' gamma: 0.1 stepsize: 3")
    rate(7)
    assert rate.current_step == 2


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(SolverError, match=r"no lr_policy 'cosine'.*exp, fixed, inv, multistep"):
        policy("lr_policy: 'cosine'")


def test_a_solver_without_a_policy_has_no_rate():
    rate = policy("base_lr: 1")
    with pytest.raises(SolverError, match="no lr_policy ''"):
        rate(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr_policy: 'step' gamma: 0.1", "'step' needs stepsize > 0, not 0"),
        ("lr_policy: 'sigmoid' gamma: 0.1", "'sigmoid' needs stepsize > 0"),
        ("lr_policy: 'poly' power: 1", "'poly' needs max_iter > 0"),
        ("lr_policy: 'exp' gamma: -1", "'exp' needs gamma >= 0, not -1"),
        ("lr_policy: 'multistep' gamma: -1", "'multistep' needs gamma >= 0"),
    ],
)
def test_parameters_that_a_policy_cannot_use_are_refused(text, message):
    with pytest.raises(SolverError, match=message):
        policy(text)


def test_a_rate_that_is_no_number_is_refused():
    rate = policy("base_lr: 1 lr_policy: 'poly' power: 1.5 max_iter: 4")
    with pytest.raises(SolverError, match="'poly' gives nan at iteration 5"):
        rate(5)
