"""Pooling kernels: the same numbers, masks and NaNs on every device, window by window."""

from typing import Any

import numpy as np
import pytest

import minicaffe
from tests.device_kernels import kernels_of

LOWEST = np.finfo(np.float32).min

# (height, width), kernel, stride, pad, (out_height, out_width)
WINDOWS = [
    ((24, 24), (2, 2), (2, 2), (0, 0), (12, 12)),
    ((13, 13), (3, 3), (2, 2), (0, 0), (6, 6)),
    ((32, 32), (3, 3), (2, 2), (0, 0), (16, 16)),  # the last window is cut
    ((5, 7), (3, 2), (1, 1), (1, 1), (5, 8)),
    ((4, 4), (3, 3), (2, 2), (1, 1), (3, 3)),
    ((20, 35), (5, 4), (1, 1), (2, 3), (20, 38)),
    ((7, 7), (1, 1), (3, 2), (0, 0), (3, 4)),
    ((8, 8), (1, 2), (4, 5), (0, 0), (3, 3)),  # the last windows are outside of the image
    ((6, 5), (6, 5), (1, 1), (0, 0), (1, 1)),
    ((2, 3), (2, 3), (1, 1), (0, 0), (1, 1)),  # one window, of less than a vector
    ((33, 50), (3, 3), (2, 2), (1, 1), (17, 26)),
    ((21, 40), (3, 5), (3, 3), (0, 2), (7, 14)),
    ((18, 41), (3, 2), (1, 2), (1, 0), (18, 21)),
    ((1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
]


def image(height: int, width: int) -> np.ndarray:
    """Values with ties, NaNs, infinities of both signs, and a plane of nothing but them."""
    x = np.random.default_rng(2).integers(-3, 4, (2, 3, height, width)).astype(np.float32)
    x[0, 1].flat[::3] = np.nan
    x[0, 2].flat[::4] = np.inf
    x[1, 0] = -np.inf
    x[1, 1] = np.nan
    return x


def pooled(device: str, size: Any, kernel: Any, stride: Any, pad: Any, out: Any) -> list[Any]:
    """All that the family computes for an image of this size."""
    ops = kernels_of("pooling", device)
    x = image(*size)
    y, mean = (np.full((2, 3, *out), 7, np.float32) for _ in range(2))
    mask = np.full(y.shape, 7, np.int32)
    dmax, dmean = (np.full(x.shape, 7, np.float32) for _ in range(2))
    dy = np.random.default_rng(3).standard_normal(y.shape, np.float32)
    ops.max_forward(x, y, mask, kernel, stride, pad)
    ops.max_backward(dy, mask, dmax, kernel, stride, pad)
    ops.average_forward(x, mean, kernel, stride, pad)
    ops.average_backward(dy, dmean, kernel, stride, pad)
    return [y, mask, dmax, mean, dmean]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_cpu_agrees_with_reference(window: Any) -> None:
    for expected, actual in zip(pooled("reference", *window), pooled("cpu", *window), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", WINDOWS[:6], ids=str)
def test_the_same_bits_on_any_number_of_threads(window: Any) -> None:
    alone = pooled("cpu", *window)
    minicaffe.set_num_threads(2)
    try:
        together = pooled("cpu", *window)
    finally:
        minicaffe.set_num_threads(1)
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)


def run_max(device: str, x: np.ndarray, kernel: Any, stride: Any, out: Any) -> tuple[Any, Any]:
    """Maxima and mask of one plane."""
    y, mask = np.empty((1, 1, *out), np.float32), np.empty((1, 1, *out), np.int32)
    kernels_of("pooling", device).max_forward(
        np.array(x, np.float32)[None, None], y, mask, kernel, stride, (0, 0)
    )
    return y[0, 0], mask[0, 0]


def test_the_first_of_equal_maxima_wins(device: str) -> None:
    y, mask = run_max(device, np.array([[1, 5, 5], [5, 5, 2]]), (2, 3), (1, 1), (1, 1))
    assert (y, mask) == (5, 1)


def test_nan_is_never_the_maximum(device: str) -> None:
    x = np.array([[np.nan, 1, np.nan], [np.nan, np.nan, -2]])
    y, mask = run_max(device, x, (2, 1), (1, 1), (1, 3))
    np.testing.assert_array_equal(y, [[LOWEST, 1, -2]])
    np.testing.assert_array_equal(mask, [[-1, 1, 5]])


def test_a_window_outside_of_the_image(device: str) -> None:
    """Stride 4, kernel 1: Caffe's rounding up gives a second window, which sees nothing."""
    y, mask = run_max(device, np.ones((1, 3)), (1, 1), (1, 4), (1, 2))
    np.testing.assert_array_equal(y, [[1, LOWEST]])
    np.testing.assert_array_equal(mask, [[0, -1]])
    ops = kernels_of("pooling", device)
    dx = np.full((1, 1, 1, 3), 9, np.float32)
    dy, windows = np.ones((1, 1, 1, 2), np.float32), ((1, 1), (1, 4), (0, 0))
    ops.max_backward(dy, mask[None, None], dx, *windows)
    np.testing.assert_array_equal(dx, [[[[1, 0, 0]]]])


def test_the_divisor_counts_padding_but_not_what_is_beyond(device: str) -> None:
    """A 2x2 image, kernel 3, stride 2, pad 1: windows of 9, 6, 6 and 4 values."""
    ops = kernels_of("pooling", device)
    mean = np.empty((1, 1, 2, 2), np.float32)
    ops.average_forward(np.ones((1, 1, 2, 2), np.float32), mean, (3, 3), (2, 2), (1, 1))
    np.testing.assert_allclose(mean[0, 0], [[4 / 9, 2 / 6], [2 / 6, 1 / 4]], rtol=1e-6)


def test_an_average_of_nothing_is_nan(device: str) -> None:
    ops = kernels_of("pooling", device)
    mean = np.empty((1, 1, 1, 2), np.float32)
    ops.average_forward(np.ones((1, 1, 1, 3), np.float32), mean, (1, 1), (1, 3), (0, 0))
    np.testing.assert_array_equal(mean, [[[[1, np.nan]]]])
