"""Task relu: y = max(x, 0) + slope min(x, 0), and its gradient."""

import numpy as np
import pytest

from minicaffe.kernels.reference import relu
from minicaffe.labs.plugin import close, gradient

F32 = np.float32
NAN = F32("nan")
SHAPES = [(4,), (2, 3), (2, 3, 4, 5)]


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_forward_by_hand(slope):
    x = np.array([-2, -0.5, 0, 0.5, 3], F32)
    y = np.full(5, NAN)
    result = relu.forward(x, y, slope)
    assert result is None, "forward returns something: it writes into y, and returns nothing"
    close("y", y, [-2 * slope, -0.5 * slope, 0, 0.5, 3], f"x = -2 -0.5 0 0.5 3, slope {slope}")


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_of_any_shape(shape, rng):
    x = rng.standard_normal(shape).astype(F32)
    kept, y = x.copy(), np.full(shape, NAN)
    relu.forward(x, y, 0.25)
    close("y", y, np.where(kept < 0, 0.25 * kept, kept), f"shape {shape}, slope 0.25")
    close("x", x, kept, "forward must not change x", rtol=0, atol=0)


def test_forward_in_place(rng):
    x = rng.standard_normal((3, 4)).astype(F32)
    expected = np.where(x < 0, 0.1 * x, x)
    relu.forward(x, x, 0.1)
    close("y", x, expected, "in place: y is x")


def test_forward_keeps_nan():
    y = np.zeros(2, F32)
    relu.forward(np.array([NAN, 1], F32), y, 0.0)
    close("y", y, [NAN, 1], "x = nan 1: a fault upstream stays visible")


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_backward_by_hand(slope):
    """At x = 0 the derivative is the slope's, as in Caffe."""
    x = np.array([-2, -0.5, 0, 0.5, 3], F32)
    dy = np.array([1, 2, 3, 4, 5], F32)
    dx = np.full(5, NAN)
    relu.backward(x, dy, dx, slope)
    expected = [slope, 2 * slope, 3 * slope, 4, 5]
    close("dx", dx, expected, f"x = -2 -0.5 0 0.5 3, dy = 1 2 3 4 5, slope {slope}")


def test_backward_overwrites_and_may_be_in_place(rng):
    x = rng.standard_normal((3, 4)).astype(F32)
    dy = rng.standard_normal((3, 4)).astype(F32)
    expected = np.where(x > 0, dy, 0.1 * dy)
    dx = np.full((3, 4), 7, F32)
    relu.backward(x, dy, dx, 0.1)
    close("dx", dx, expected, "dx held 7 before: it is overwritten")
    relu.backward(x, dy, dy, 0.1)
    close("dx", dy, expected, "in place: dx is dy")


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_is_the_derivative_of_forward(shape, rng):
    x = rng.uniform(0.2, 1, shape).astype(F32) * rng.choice([-1, 1], shape).astype(F32)
    dy = rng.standard_normal(shape).astype(F32)
    dx, above, below = (np.full(shape, NAN) for _ in range(3))
    relu.backward(x, dy, dx, 0.1)
    relu.forward(x + F32(0.01), above, 0.1)
    relu.forward(x - F32(0.01), below, 0.1)
    gradient("dx", dx, dy * (above - below) / 0.02, f"shape {shape}, slope 0.1")
