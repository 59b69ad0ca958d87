"""Task pooling: back, a thread gathers what flows into its pixel."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.emulated import run
from minicaffe.labs.plugin import close

WINDOWS = {  # image, kernel, stride, pad, out
    "2 x 2, stride 2": ((6, 8), (2, 2), (2, 2), (0, 0), (3, 4)),
    "3 x 3, stride 2, cut at the border": ((6, 6), (3, 3), (2, 2), (0, 0), (3, 3)),
    "3 x 2, stride 1 x 2, padding 1 x 0": ((5, 7), (3, 2), (1, 2), (1, 0), (5, 4)),
    "2 x 3, padding 1, windows that overlap": ((4, 5), (2, 3), (1, 2), (1, 1), (5, 3)),
    "1 x 1, stride 3 x 4, gaps": ((4, 9), (1, 1), (3, 4), (0, 0), (2, 3)),
    "the whole image": ((4, 4), (4, 4), (1, 1), (0, 0), (1, 1)),
}


def shown(name: str, function: str) -> str:
    return f"pooling.{function}, kernel {name}, image {WINDOWS[name][0]}"


def maxima(values: Any, name: str) -> tuple[Any, Any]:
    """y and mask of `reference`."""
    _, *window, out = WINDOWS[name]
    y, mask = (
        np.empty((*values.shape[:2], *out), np.float32),
        np.empty((*values.shape[:2], *out), "i4"),
    )
    load_kernel("pooling", "reference").max_forward(values, y, mask, *window)
    return y, mask


@pytest.mark.parametrize("name", WINDOWS)
def test_max_backward(rng: Any, name: str) -> None:
    """dx is overwritten; where windows overlap, gradients add up."""
    image, *window, _ = WINDOWS[name]
    x = np.round(rng.standard_normal((2, 3, *image))).astype(np.float32)
    y, mask = maxima(x, name)
    dy, expected = rng.standard_normal(y.shape).astype(np.float32), np.empty_like(x)
    load_kernel("pooling", "reference").max_backward(dy, mask, expected, *window)
    case = shown(name, "max_backward")
    function = load_kernel("pooling", "cuda").max_backward
    ran = run(function, dy, mask, np.full_like(x, 9), *window, case=case)
    ran.check_launched(1)
    close("dx", ran.arrays[2], expected, case)
    counters = ran.counters[-1]
    most = -(-x.size // 256) * 256
    assert counters.threads <= most, (
        f"{case}: {counters.threads} threads for {x.size} pixels, expected at most {most}: a thread"
        " a pixel, which gathers from its windows"
    )
