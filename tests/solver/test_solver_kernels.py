"""Update rules on arrays: equal on every device, and equal to their formulas in float64."""

import numpy as np
import pytest

from minicaffe.solver.create import known_solvers
from tests.conftest import DEVICES
from tests.device_kernels import kernels_of

# rule: its numbers (values of float32)
RULES = {
    "SGD": (0.875,),
    "Nesterov": (0.875,),
    "AdaGrad": (0.0625,),
    "RMSProp": (0.75, 0.0625),
    "AdaDelta": (0.75, 0.0625),
    "Adam": (0.875, 0.96875, 0.0625, 0.75),
}
# rate, clip, normalizer, decay, l1
STEPS = [
    (0.5, 1.0, 1.0, 0.0, False),
    (0.125, 0.75, 0.5, 0.25, False),
    (0.125, 1.0, 1.0, 0.25, True),
    (0.0, 1.0, 1.0, 0.25, False),
]


def arrays(sets, size=1003):
    random = np.random.default_rng(1)
    data, diff = random.standard_normal((2, size)).astype(np.float32)
    data[:3] = 0
    history = random.random((sets, size)).astype(np.float32)
    return [data, diff, *history]


def apply(rule, numbers, given, step, device):
    data, diff, *history = given
    kernels_of("update", device).apply(rule, data, diff, history, numbers, *step)


def by_formula(rule, step, w, g, h, u=None):
    """(weights, update, histories) in float64."""
    rate, clip, normalizer, decay, l1 = step
    g = g * clip * normalizer + decay * (np.sign(w) if l1 else w)
    scalars = RULES[rule]
    if rule in ("SGD", "Nesterov"):
        (momentum,) = scalars
        new = momentum * h + rate * g
        update = new if rule == "SGD" else (1 + momentum) * new - momentum * h
        return w - update, update, new
    if rule in ("AdaGrad", "RMSProp"):
        decay_h, delta = (None, *scalars) if rule == "AdaGrad" else scalars
        new = h + g**2 if decay_h is None else decay_h * h + (1 - decay_h) * g**2
        update = rate * g / (np.sqrt(new) + delta)
        return w - update, update, new
    if rule == "AdaDelta":
        momentum, delta = scalars
        new = momentum * h + (1 - momentum) * g**2
        step = g * np.sqrt((u + delta) / (new + delta))
        return w - rate * step, rate * step, new, momentum * u + (1 - momentum) * step**2
    beta1, beta2, delta, correction = scalars
    first, second = beta1 * h + (1 - beta1) * g, beta2 * u + (1 - beta2) * g**2
    update = rate * correction * first / (np.sqrt(second) + delta)
    return w - update, update, first, second


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_follows_its_formula(name, step, device):
    solver = known_solvers()[name]
    given = arrays(solver.history_sets)
    expected = by_formula(name, step, *(array.astype(np.float64) for array in given))
    apply(solver.rule, RULES[name], given, step, device)
    for array, wanted in zip(given, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_gives_the_same_bits_on_every_device(name, step):
    """But for `cuda`, whose compiler makes one rounding of a product and a sum."""
    solver = known_solvers()[name]
    reference = arrays(solver.history_sets)
    apply(solver.rule, RULES[name], reference, step, "reference")
    for device in (each for each in DEVICES if each != "cuda"):
        given = arrays(solver.history_sets)
        apply(solver.rule, RULES[name], given, step, device)
        for one, other in zip(reference, given, strict=True):
            assert np.array_equal(one, other)


def sign(w, g, rate):
    return (rate * np.sign(g),)


def amsgrad(w, g, rate, m, v, top, b1, b2, delta):
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    top = np.maximum(top, v)
    return 0.3 * rate * np.where(m > 0.1, 2 * m, m) / (np.sqrt(top) + delta), m, v, top


@pytest.mark.parametrize(
    ("rule", "sets", "numbers"), [(sign, 0, ()), (amsgrad, 3, (0.9, 0.999, 1e-3))]
)
def test_rules_of_ones_own_have_any_number_of_histories(rule, sets, numbers):
    """And the same bits on every device: numbers that are written in a rule are float32."""
    reference, cpu = arrays(sets), arrays(sets)
    apply(rule, numbers, reference, STEPS[1], "reference")
    apply(rule, numbers, cpu, STEPS[1], "cpu")
    assert reference[1].any()
    for one, other in zip(reference, cpu, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000, 40_000])
def test_the_sum_of_squares(size, device):
    x = np.arange(size, dtype=np.float32) / 8
    assert kernels_of("norm", device).sum_of_squares(x) == pytest.approx(
        float((x.astype(np.float64) ** 2).sum()), rel=1e-12
    )
