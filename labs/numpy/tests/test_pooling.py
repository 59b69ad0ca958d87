"""Task pooling: maxima of windows, where they are, and gradients that go back there."""

import numpy as np
import pytest

from minicaffe.kernels.reference import pooling
from minicaffe.labs.plugin import close

F32 = np.float32
LOWEST = np.finfo(F32).min
GRID = [  # image, kernel, stride, pad, output
    ((4, 4), (2, 2), (2, 2), (0, 0), (2, 2)),
    ((5, 7), (3, 2), (1, 1), (1, 1), (5, 8)),
    ((7, 6), (3, 3), (2, 2), (0, 0), (3, 3)),
    ((6, 5), (6, 5), (1, 1), (0, 0), (1, 1)),
    ((4, 4), (3, 3), (2, 2), (1, 1), (3, 3)),
]


def by_loops(x, kernel, stride, pad, out):
    """The definition, value by value: maxima and where they are."""
    images, channels, height, width = x.shape
    y = np.full((images, channels, *out), LOWEST, F32)
    mask = np.full((images, channels, *out), -1, np.int32)
    for n, c, i, j in np.ndindex(y.shape):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        for h in range(max(top, 0), min(top + kernel[0], height)):
            for w in range(max(left, 0), min(left + kernel[1], width)):
                if x[n, c, h, w] > y[n, c, i, j]:
                    y[n, c, i, j], mask[n, c, i, j] = x[n, c, h, w], h * width + w
    return y, mask


def forward(x, kernel, stride, pad, out):
    y = np.full((*x.shape[:2], *out), F32("nan"))
    mask = np.full(y.shape, -7, np.int32)
    pooling.max_forward(x, y, mask, kernel, stride, pad)
    return y, mask


def case_of(grid):
    image, kernel, stride, pad, _ = grid
    return f"image {image}, kernel {kernel}, stride {stride}, pad {pad}"


def test_forward_by_hand():
    x = np.array([1, 2, 5, 0, 3, 4, 1, 1, 0, 9, 2, 2, 0, 0, 2, 8], F32).reshape(1, 1, 4, 4)
    y, mask = forward(x, (2, 2), (2, 2), (0, 0), (2, 2))
    case = "x = 1 2 5 0 / 3 4 1 1 / 0 9 2 2 / 0 0 2 8, windows of 2 x 2"
    close("y", y[0, 0], [[4, 5], [9, 8]], case)
    close("mask", mask[0, 0], [[5, 2], [9, 15]], f"{case}; a pixel is h * W + w")


@pytest.mark.parametrize("grid", GRID, ids=lambda grid: f"{grid[0]}-{grid[1]}")
def test_forward(grid, rng):
    image, *how = grid
    x = rng.permutation(2 * 3 * image[0] * image[1]).reshape(2, 3, *image).astype(F32)
    expected, where = by_loops(x, *how)
    y, mask = forward(x, *how)
    close("y", y, expected, case_of(grid))
    close("mask", mask, where, f"{case_of(grid)}; a pixel is h * W + w")


def test_values_below_zero_stay_below(rng):
    x = -1 - rng.random((1, 2, 5, 7), F32)
    expected, where = by_loops(x, *GRID[1][1:])
    y, mask = forward(x, *GRID[1][1:])
    close("y", y, expected, f"all x < -1, {case_of(GRID[1])}: padding is no 0")
    close("mask", mask, where, f"all x < -1, {case_of(GRID[1])}")


def test_the_first_of_equal_maxima():
    x = np.zeros((1, 1, 3, 3), F32)
    _, mask = forward(x, (2, 2), (1, 1), (0, 0), (2, 2))
    close("mask", mask[0, 0], [[0, 1], [3, 4]], "x = 0 everywhere: the first in reading order")


def test_a_window_outside_of_the_image_and_one_of_nan():
    """Its maximum is the lowest float and its mask -1."""
    x = np.ones((1, 1, 3, 3), F32)
    y, mask = forward(x, (1, 1), (3, 3), (0, 0), (2, 2))
    close("y", y[0, 0], [[1, LOWEST], [LOWEST, LOWEST]], "image (3, 3), stride 3: outside")
    close("mask", mask[0, 0], [[0, -1], [-1, -1]], "image (3, 3), stride 3: outside")
    y, mask = forward(np.array([[[[F32("nan"), 2]]]], F32), (1, 1), (1, 1), (0, 0), (1, 2))
    close(
        "y",
        y[0, 0],
        [[LOWEST, 2]],
        "x = nan 2, windows of one: only what is greater than the lowest float counts",
    )
    close("mask", mask[0, 0], [[-1, 1]], "x = nan 2, windows of one")
    y, mask = forward(np.array([[[[LOWEST, 2]]]], F32), (1, 1), (1, 1), (0, 0), (1, 2))
    close("mask", mask[0, 0], [[-1, 1]], "x = the lowest float and 2, windows of one")


def test_backward_by_hand():
    mask = np.array([[5, 2], [9, 15]], np.int32).reshape(1, 1, 2, 2)
    dx = np.full((1, 1, 4, 4), 9, F32)
    dy = np.array([1, 2, 3, 4], F32).reshape(1, 1, 2, 2)
    pooling.max_backward(dy, mask, dx, (2, 2), (2, 2), (0, 0))
    expected = np.zeros(16)
    expected[[5, 2, 9, 15]] = [1, 2, 3, 4]
    close("dx", dx[0, 0].ravel(), expected, "dy = 1 2 3 4, mask = 5 2 9 15; dx held 9 before")


@pytest.mark.parametrize("grid", GRID, ids=lambda grid: f"{grid[0]}-{grid[1]}")
def test_backward_adds_up_where_windows_overlap(grid, rng):
    image, *how = grid
    x = rng.permutation(2 * 3 * image[0] * image[1]).reshape(2, 3, *image).astype(F32)
    _, mask = by_loops(x, *how)
    dy = rng.standard_normal(mask.shape).astype(F32)
    expected = np.zeros((2, 3, image[0] * image[1]), F32)
    for n, c, i, j in np.ndindex(mask.shape):
        if mask[n, c, i, j] >= 0:
            expected[n, c, mask[n, c, i, j]] += dy[n, c, i, j]
    dx = np.full(x.shape, F32("nan"))
    pooling.max_backward(dy, mask, dx, *how[:3])
    close("dx", dx, expected.reshape(x.shape), f"{case_of(grid)}; dx held nan before")


def test_backward_leaves_out_windows_without_a_maximum():
    mask = np.array([[[[0, -1]]]], np.int32)
    dx = np.full((1, 1, 1, 3), 9, F32)
    pooling.max_backward(np.array([[[[5, 6]]]], F32), mask, dx, (1, 1), (3, 3), (0, 0))
    close("dx", dx[0, 0, 0], [5, 0, 0], "mask = 0 -1, dy = 5 6: -1 is no pixel")
