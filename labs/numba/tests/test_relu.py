"""kernels/cpu/relu.py: forward and backward, in place and not."""

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.plugin import close

F32 = np.ndarray
SIZES = (1, 7, 1003)  # less than a vector, and one that is no multiple of a vector


def inputs(size: int, rng: np.random.Generator) -> tuple[F32, F32]:
    """x with zeros of both signs, infinities and NaN, as far as they fit; and dy."""
    x = rng.standard_normal(size).astype(np.float32)
    special = [0.0, -0.0, -np.inf, np.inf, np.nan]
    if size > 2 * len(special):
        x[: len(special)] = special
        x[-len(special) :] = special
    return x, rng.standard_normal(size).astype(np.float32)


def rectified(x: F32, slope: float) -> F32:
    """What forward must give."""
    return np.where(np.isnan(x), x, np.maximum(x, 0) + np.float32(slope) * np.minimum(x, 0))


def case(size: int, slope: float, in_place: bool) -> str:
    """What a sentence says of it."""
    return f"{size} numbers, slope {slope:g}, {'in place' if in_place else 'into another array'}"


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("size", SIZES)
def test_forward(size: int, in_place: bool, rng: np.random.Generator) -> None:
    for slope in (0.25, 0.0):
        x, _ = inputs(size, rng)
        if slope == 0:
            x[np.isinf(x)] = -3  # 0 times infinity is NaN
        expected = rectified(x, slope)
        y = x.copy() if in_place else np.full_like(x, np.nan)
        load_kernel("relu", "cpu").forward(y if in_place else x, y, slope)
        close("y", y, expected, case(size, slope, in_place), rtol=1e-6, atol=0)
        minus = np.signbit(y) & (y == 0) & (slope == 0)
        if minus.any():
            pytest.fail(
                f"y[{minus.argmax()}]: yours -0, expected 0 ({case(size, slope, in_place)}): "
                "`rectified` adds 0 for that"
            )


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("size", SIZES)
def test_backward(size: int, in_place: bool, rng: np.random.Generator) -> None:
    for slope in (0.25, 0.0):
        x, dy = inputs(size, rng)
        expected = np.where(x > 0, dy, np.float32(slope) * dy)
        dx = dy.copy() if in_place else np.full_like(dy, np.nan)
        load_kernel("relu", "cpu").backward(x, dx if in_place else dy, dx, slope)
        said = case(size, slope, in_place) + "; at x = 0 and NaN the slope holds"
        close("dx", dx, expected, said, rtol=1e-6, atol=0)


def test_any_shape(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    y = np.full_like(x, np.nan)
    load_kernel("relu", "cpu").forward(x, y, 0.5)
    close("y", y, rectified(x, 0.5), "shape (3, 4, 5)", rtol=1e-6, atol=0)
