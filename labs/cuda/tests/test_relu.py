"""Task relu: a thread an element."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.emulated import run
from minicaffe.labs.plugin import close

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30], np.float32)


def relu(device: str) -> Any:
    return load_kernel("relu", device)


@pytest.mark.parametrize(("shape", "slope"), [((1001,), 0.1), ((3, 5, 7), 0.0), ((256,), 0.5)])
def test_forward(rng: Any, shape: tuple[int, ...], slope: float) -> None:
    """Sizes that are and are not a multiple of a block's, in several axes."""
    x = rng.standard_normal(shape).astype(np.float32)
    expected = np.empty_like(x)
    relu("reference").forward(x, expected, slope)
    case = f"relu.forward, x {shape}, slope {slope}"
    _, y = run(relu("cuda").forward, x, np.zeros_like(x), slope, case=case).arrays
    close("y", y, expected, case)


def test_special_values() -> None:
    """Both zeros give 0 (not -0), NaN stays, infinities stay."""
    case = "relu.forward of 0, -0, infinities and NaN, slope 0.5"
    expected = np.empty_like(SPECIAL)
    relu("reference").forward(SPECIAL, expected, 0.5)
    _, y = run(relu("cuda").forward, SPECIAL, np.zeros_like(SPECIAL), 0.5, case=case).arrays
    close("y", y, expected, case)
    assert not np.signbit(y[:2]).any(), (
        f"{case}: y is -0 where x is 0 or -0, expected 0: add 0.0 to the product"
    )


def test_in_place(rng: Any) -> None:
    """y may be x, and dx may be dy."""
    x, dy = rng.standard_normal((2, 300)).astype(np.float32)
    expected, gradient = np.empty_like(x), np.empty_like(x)
    relu("reference").forward(x, expected, 0.1)
    relu("reference").backward(x, dy, gradient, 0.1)
    case = "relu.forward with y = x, 300 elements"
    close("y", run(relu("cuda").forward, x, x, 0.1, case=case).arrays[1], expected, case)
    case = "relu.backward with dx = dy, 300 elements"
    close("dx", run(relu("cuda").backward, x, dy, dy, 0.1, case=case).arrays[2], gradient, case)


def test_backward(rng: Any) -> None:
    """Also where x is 0: there the slope counts."""
    x = np.concatenate([SPECIAL, rng.standard_normal(700).astype(np.float32)])
    dy = rng.standard_normal(x.size).astype(np.float32)
    expected = np.empty_like(x)
    relu("reference").backward(x, dy, expected, 0.25)
    case = "relu.backward, x with 0, -0, infinities and NaN first, slope 0.25"
    got = run(relu("cuda").backward, x, dy, np.zeros_like(x), 0.25, case=case).arrays[2]
    close("dx", got, expected, case)


def test_requests() -> None:
    """A warp reads and writes neighbours, each once, and so many threads as there are elements."""
    x = np.linspace(-1, 1, 1024, dtype=np.float32)
    ran = run(relu("cuda").forward, x, np.zeros_like(x), 0.1, case="relu.forward, 1024 elements")
    ran.check_launched(1)
    ran.check_coalesced()
    assert ran.requests <= 2, (
        f"{ran.case}: a thread makes {ran.requests:g} requests to global memory, expected 2, x once"
        " and y once: keep what you have read in a variable"
    )
