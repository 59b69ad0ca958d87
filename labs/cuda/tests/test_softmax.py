"""Task softmax: a block takes a row, and reduces it in shared memory."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.emulated import run
from minicaffe.labs.plugin import close

SHAPES = [(3, 10), (2, 128), (2, 300), (1, 1)]  # rows, classes


def softmax(x: Any) -> Any:
    powers = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows(rng: Any, shape: tuple[int, int]) -> None:
    """Fewer and more classes than threads; a race between two reductions fails here."""
    x = (5 * rng.standard_normal(shape)).astype(np.float32)
    case = f"softmax.rows, x {shape}"
    ran = run(load_kernel("softmax", "cuda").rows, x, np.zeros_like(x), case=case)
    close("y", ran.arrays[1], softmax(x), case)
    ran.check_launched(1, blocks=shape[0])


def test_large_scores() -> None:
    """exp(1000) is infinite in float32: the largest score is taken off first."""
    x = np.array([[1000, 999, -1000] * 50, [-2000] * 150], np.float32)
    case = "softmax.rows, scores of 1000 and of -2000"
    ran = run(load_kernel("softmax", "cuda").rows, x, np.zeros_like(x), case=case)
    close("y", ran.arrays[1], softmax(x), case)


def test_forward(rng: Any) -> None:
    """The family's function, in place: rows by your kernel, maps by the one that is given."""
    x = rng.standard_normal((3, 40, 1)).astype(np.float32)
    case = "softmax.forward with y = x, x (3, 40, 1)"
    ran = run(load_kernel("softmax", "cuda").forward, x, x, case=case)
    close("y", ran.arrays[1], softmax(x), case)
    assert [each.kernel.short_name for each in ran.counters] == ["_rows"], (
        f"{case}: the kernel _rows is to run, once"
    )


def test_memory(rng: Any) -> None:
    """Coalesced, and without conflicts of banks."""
    x = rng.standard_normal((2, 512)).astype(np.float32)
    ran = run(
        load_kernel("softmax", "cuda").rows, x, np.zeros_like(x), case="softmax.rows, x (2, 512)"
    )
    ran.check_launched(1, blocks=2)
    ran.check_coalesced()
    ran.check_passes(1.0)


def test_halves(rng: Any) -> None:
    """A block of 128 threads adds up in 7 steps: both reductions cost at most 20 waits."""
    x = rng.standard_normal((1, 128)).astype(np.float32)
    ran = run(
        load_kernel("softmax", "cuda").rows, x, np.zeros_like(x), case="softmax.rows, x (1, 128)"
    )
    counters = ran.counters[-1]
    waits = [op.text.startswith("bar") for op in counters.kernel.instructions]
    each = counters.thread[waits].sum() / counters.threads
    assert each <= 20, (
        f"{ran.case}: a thread waits {each:g} times at a barrier, expected at most 20: halve the"
        " number of threads that add in each step"
    )
