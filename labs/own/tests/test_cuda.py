"""Task cuda: the same numbers on the device cuda, in the emulator that checks."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.emulated import run
from minicaffe.labs.plugin import close

SHAPES = [(1, 1), (9, 40), (3, 100)]
EPS = 0.25


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward(rng: Any, shape: tuple[int, int]) -> None:
    """y, root and dx; rows shorter and longer than a warp."""
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    y = (x / np.sqrt((x * x).mean(1, keepdims=True) + EPS)).astype(np.float32)
    root = np.sqrt((x * x).mean(1) + EPS).astype(np.float32)
    dx = (dy - y * (dy * y).mean(1, keepdims=True)) / root[:, None]
    kernels, case = load_kernel("rms_norm", "cuda"), f"on cuda, x {shape}, eps {EPS}"
    ran = run(kernels.forward, x, np.full_like(y, 9), np.full_like(root, 9), EPS, case=case)
    close("y", ran.arrays[1], y, case)
    close("root", ran.arrays[2], root, case)
    ran = run(kernels.backward, y, dy, root, np.full_like(dx, 9), case=case)
    close("dx", ran.arrays[3], dx, case)


def test_in_place(rng: Any) -> None:
    """y may be x, and dx may be dy."""
    x, dy = rng.standard_normal((2, 5, 70)).astype(np.float32)
    kernels, case = load_kernel("rms_norm", "cuda"), "on cuda, y = x and dx = dy, x (5, 70)"
    root = np.zeros(5, np.float32)
    _, y, length = run(kernels.forward, x, np.zeros_like(x), root, EPS, case=case).arrays
    dx = run(kernels.backward, y, dy, length, np.zeros_like(x), case=case).arrays[3]
    close("y", run(kernels.forward, x, x, root, EPS, case=case).arrays[1], y, case)
    close("dx", run(kernels.backward, y, dy, length, dy, case=case).arrays[3], dx, case)


def test_memory(rng: Any) -> None:
    """Neighbouring threads read neighbouring numbers; a row is not one thread's work."""
    x = rng.standard_normal((8, 256)).astype(np.float32)
    case = "rms_norm.forward on cuda, x (8, 256)"
    forward = load_kernel("rms_norm", "cuda").forward
    ran = run(forward, x, np.zeros_like(x), np.zeros(8, np.float32), EPS, case=case)
    ran.check_launched(1)
    ran.check_coalesced()
    threads = ran.counters[0].threads
    assert threads >= 256, f"{case}: {threads} threads for 8 rows, expected 32 or more for each"
    backward, root = load_kernel("rms_norm", "cuda").backward, np.ones(8, np.float32)
    case = "rms_norm.backward on cuda, y (8, 256)"
    ran = run(backward, x, x, root, np.zeros_like(x), case=case)
    ran.check_launched(1)
    ran.check_coalesced()
