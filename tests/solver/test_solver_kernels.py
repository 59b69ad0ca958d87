"""Update rules on arrays: equal on every device, and equal to their formulas in float64."""

import numpy as np
import pytest

from minicaffe.device import load_kernel

# rule: number of history arrays, its scalars (values of float32)
RULES = {
    "sgd": (1, (0.875,)),
    "nesterov": (1, (0.875,)),
    "adagrad": (1, (0.0625,)),
    "rmsprop": (1, (0.75, 0.0625)),
    "adadelta": (2, (0.75, 0.0625)),
    "adam": (2, (0.875, 0.96875, 0.0625)),
}
# rate, clip, normalizer, decay, l1
STEPS = [
    (0.5, 1.0, 1.0, 0.0, False),
    (0.125, 0.75, 0.5, 0.25, False),
    (0.125, 1.0, 1.0, 0.25, True),
    (0.0, 1.0, 1.0, 0.25, False),
]


def arrays(rule, size=1003):
    random = np.random.default_rng(1)
    data, diff = random.standard_normal((2, size)).astype(np.float32)
    data[:3] = 0
    history = random.random((RULES[rule][0], size)).astype(np.float32)
    return [data, diff, *history]


def by_formula(rule, step, w, g, h, u=None):
    """(weights, update, histories) in float64."""
    rate, clip, normalizer, decay, l1 = step
    g = g * clip * normalizer + decay * (np.sign(w) if l1 else w)
    scalars = RULES[rule][1]
    if rule in ("sgd", "nesterov"):
        (momentum,) = scalars
        new = momentum * h + rate * g
        update = new if rule == "sgd" else (1 + momentum) * new - momentum * h
        return w - update, update, new
    if rule in ("adagrad", "rmsprop"):
        decay_h, delta = (None, *scalars) if rule == "adagrad" else scalars
        new = h + g**2 if decay_h is None else decay_h * h + (1 - decay_h) * g**2
        update = rate * g / (np.sqrt(new) + delta)
        return w - update, update, new
    if rule == "adadelta":
        momentum, delta = scalars
        new = momentum * h + (1 - momentum) * g**2
        step = g * np.sqrt((u + delta) / (new + delta))
        return w - rate * step, rate * step, new, momentum * u + (1 - momentum) * step**2
    beta1, beta2, delta = scalars
    first, second = beta1 * h + (1 - beta1) * g, beta2 * u + (1 - beta2) * g**2
    update = rate * first / (np.sqrt(second) + delta)
    return w - update, update, first, second


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_follows_its_formula(rule, step, device):
    given = arrays(rule)
    expected = by_formula(rule, step, *(array.astype(np.float64) for array in given))
    load_kernel(rule, device).update(*given, *RULES[rule][1], *step)
    for array, wanted in zip(given, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_gives_the_same_bits_on_every_device(rule, step):
    reference, cpu = arrays(rule), arrays(rule)
    load_kernel(rule, "reference").update(*reference, *RULES[rule][1], *step)
    load_kernel(rule, "cpu").update(*cpu, *RULES[rule][1], *step)
    for one, other in zip(reference, cpu, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000, 40_000])
def test_the_sum_of_squares(size, device):
    x = np.arange(size, dtype=np.float32) / 8
    assert load_kernel("norm", device).sum_of_squares(x) == pytest.approx(
        float((x.astype(np.float64) ** 2).sum()), rel=1e-12
    )
