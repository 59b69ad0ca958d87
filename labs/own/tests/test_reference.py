"""Task reference: the formulas, in NumPy."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.plugin import close, gradient

SHAPES = [(1, 1), (4, 7), (3, 40)]
EPS = 0.25  # large enough to be seen


def normalised(x: Any) -> tuple[Any, Any]:
    """y and root, in float64."""
    root = np.sqrt((x.astype(np.float64) ** 2).mean(1) + EPS)
    return x / root[:, None], root


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(rng: Any, shape: tuple[int, int]) -> None:
    """y and root, overwritten."""
    x = rng.standard_normal(shape).astype(np.float32)
    y, root = np.full_like(x, 9), np.full(shape[0], 9, np.float32)
    load_kernel("rms_norm", "reference").forward(x, y, root, EPS)
    case = f"forward on reference, x {shape}, eps {EPS}"
    expected = normalised(x)
    close("root", root, expected[1], case)
    close("y", y, expected[0], case)


@pytest.mark.parametrize("shape", SHAPES)
def test_backward(rng: Any, shape: tuple[int, int]) -> None:
    """dx against differences of the formula, in float64."""
    x, dy = rng.standard_normal((2, *shape))
    y, root = (each.astype(np.float32) for each in normalised(x))
    dx = np.full(shape, 9, np.float32)
    load_kernel("rms_norm", "reference").backward(y, dy.astype(np.float32), root, dx)
    numeric, step = np.zeros(shape), 1e-5
    for index in np.ndindex(shape):
        there = x.copy()
        there[index] += step
        above = (normalised(there)[0] * dy).sum()
        there[index] -= 2 * step
        numeric[index] = (above - (normalised(there)[0] * dy).sum()) / (2 * step)
    gradient("dx", dx, numeric, f"backward on reference, x {shape}, eps {EPS}", atol=1e-4)


def test_in_place(rng: Any) -> None:
    """y may be x, and dx may be dy."""
    x, dy = rng.standard_normal((2, 5, 6)).astype(np.float32)
    kernels = load_kernel("rms_norm", "reference")
    y, root, dx = np.empty_like(x), np.empty(5, np.float32), np.empty_like(x)
    kernels.forward(x, y, root, EPS)
    kernels.backward(y, dy, root, dx)
    kernels.forward(x, x, root, EPS)
    kernels.backward(y, dy, root, dy)
    close("y", x, y, "forward on reference with y = x")
    close("dx", dy, dx, "backward on reference with dx = dy")
