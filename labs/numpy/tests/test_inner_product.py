"""Task inner_product: y = x W.T + b, and the gradients of all three."""

import numpy as np
import pytest

from minicaffe.kernels.reference import inner_product as ip
from minicaffe.labs.plugin import close, gradient

F32 = np.float32
SIZES = [(1, 1, 1), (2, 3, 4), (5, 2, 3)]  # M samples, K inputs, N outputs


def arrays(rng, m, k, n, transpose):
    x, dy = rng.standard_normal((m, k)).astype(F32), rng.standard_normal((m, n)).astype(F32)
    weight = rng.standard_normal((k, n) if transpose else (n, k)).astype(F32)
    return x, dy, weight, rng.standard_normal(n).astype(F32)


def case_of(sizes, transpose):
    m, k, n = sizes
    return f"M {m}, K {k}, N {n}, weight ({'K, N' if transpose else 'N, K'})"


def test_forward_by_hand():
    x = np.array([[1, 2], [3, 4]], F32)
    weight = np.array([[1, 0], [0, 1], [1, 1]], F32)
    y = np.full((2, 3), F32("nan"))
    ip.forward(x, weight, np.array([10, 20, 30], F32), y, False)
    close("y", y, [[11, 22, 33], [13, 24, 37]], "x = 1 2 / 3 4, W = 1 0 / 0 1 / 1 1, b = 10 20 30")


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_forward(sizes, transpose, rng):
    x, dy, weight, bias = arrays(rng, *sizes, transpose)
    matrix = weight if transpose else weight.T
    for b, said in ((None, "no bias"), (bias, "bias")):
        y = np.full(dy.shape, 9, F32)
        ip.forward(x, weight, b, y, transpose)
        expected = x @ matrix + (0 if b is None else b)
        close("y", y, expected, f"{case_of(sizes, transpose)}, {said}; y held 9 before")


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_backward_data_overwrites(sizes, transpose, rng):
    x, dy, weight, _ = arrays(rng, *sizes, transpose)
    dx = np.full(x.shape, 9, F32)
    ip.backward_data(dy, weight, dx, transpose)
    expected = dy @ (weight.T if transpose else weight)
    close("dx", dx, expected, f"{case_of(sizes, transpose)}; dx held 9 before")


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_backward_weight_adds(sizes, transpose, rng):
    x, dy, weight, _ = arrays(rng, *sizes, transpose)
    before = rng.standard_normal(weight.shape).astype(F32)
    dweight = before.copy()
    ip.backward_weight(x, dy, dweight, transpose)
    expected = before + (x.T @ dy if transpose else dy.T @ x)
    close("dW", dweight, expected, f"{case_of(sizes, transpose)}; added to what dW held")


@pytest.mark.parametrize("sizes", SIZES)
def test_backward_bias_adds(sizes, rng):
    _, dy, _, bias = arrays(rng, *sizes, False)
    dbias = bias.copy()
    ip.backward_bias(dy, dbias)
    close("db", dbias, bias + dy.sum(0), f"{case_of(sizes, False)}; added to what db held")


@pytest.mark.parametrize("transpose", [False, True])
def test_gradients_are_the_derivatives_of_forward(transpose, rng):
    x, dy, weight, bias = arrays(rng, 3, 4, 2, transpose)
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
    ip.backward_data(dy, weight, dx, transpose)
    ip.backward_weight(x, dy, dweight, transpose)
    ip.backward_bias(dy, dbias)

    def objective():
        y = np.zeros(dy.shape, F32)
        ip.forward(x, weight, bias, y, transpose)
        return float((np.float64(y) * dy).sum())

    for name, values, found in (("dx", x, dx), ("dW", weight, dweight), ("db", bias, dbias)):
        numeric = np.zeros(values.shape)
        for place in np.ndindex(values.shape):
            kept = values[place]
            values[place] = kept + F32(0.05)
            above = objective()
            values[place] = kept - F32(0.05)
            numeric[place] = (above - objective()) / 0.1
            values[place] = kept
        gradient(name, found, numeric, case_of((3, 4, 2), transpose))
