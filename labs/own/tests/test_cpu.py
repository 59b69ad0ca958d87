"""Task cpu: the same numbers from compiled kernels; an index beyond the end fails here."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.plugin import close

SHAPES = [(1, 1), (4, 7), (33, 40)]
EPS = 0.25


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward(rng: Any, shape: tuple[int, int]) -> None:
    """y, root and dx, overwritten."""
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    y = (x / np.sqrt((x * x).mean(1, keepdims=True) + EPS)).astype(np.float32)
    root = np.sqrt((x * x).mean(1) + EPS).astype(np.float32)
    dx = (dy - y * (dy * y).mean(1, keepdims=True)) / root[:, None]
    kernels = load_kernel("rms_norm", "cpu")
    mine = [np.full_like(each, 9) for each in (y, root, dx)]
    kernels.forward(x, mine[0], mine[1], EPS)
    kernels.backward(y, dy, root, mine[2])
    for name, got, expected in zip(("y", "root", "dx"), mine, (y, root, dx), strict=True):
        close(name, got, expected, f"on cpu, x {shape}, eps {EPS}")


def test_in_place(rng: Any) -> None:
    """y may be x, and dx may be dy."""
    x, dy = rng.standard_normal((2, 5, 6)).astype(np.float32)
    kernels = load_kernel("rms_norm", "cpu")
    y, root, dx = np.empty_like(x), np.empty(5, np.float32), np.empty_like(x)
    kernels.forward(x, y, root, EPS)
    kernels.backward(y, dy, root, dx)
    kernels.forward(x, x, root, EPS)
    kernels.backward(y, dy, root, dy)
    close("y", x, y, "forward on cpu with y = x")
    close("dx", dy, dx, "backward on cpu with dx = dy")


def test_empty() -> None:
    """No sample: nothing is written, and nothing fails."""
    kernels, none = load_kernel("rms_norm", "cpu"), np.zeros((0, 5), np.float32)
    kernels.forward(none, none, np.zeros(0, np.float32), EPS)
    kernels.backward(none, none, np.zeros(0, np.float32), none)
