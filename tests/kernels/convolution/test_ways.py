"""Convolution on cpu: the reference's numbers for every geometry, the same bits every time."""

from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.device import load_kernel

# images, channels, outputs, (height, width), kernel, stride, pad, dilation, groups
GEOMETRIES = [
    (3, 1, 20, (28, 28), (5, 5), (1, 1), (0, 0), (1, 1), 1),
    (2, 20, 50, (12, 12), (5, 5), (1, 1), (0, 0), (1, 1), 1),
    (2, 32, 32, (16, 16), (5, 5), (1, 1), (2, 2), (1, 1), 1),
    (1, 3, 16, (35, 35), (11, 11), (4, 4), (0, 0), (1, 1), 1),
    (2, 32, 64, (23, 23), (3, 3), (1, 1), (0, 0), (1, 1), 1),  # K = 288: more than one block
    (1, 64, 24, (10, 10), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 40, 33, (9, 7), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (2, 64, 48, (7, 7), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (1, 300, 17, (6, 6), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (1, 16, 16, (9, 9), (1, 1), (2, 2), (0, 0), (1, 1), 1),
    (9, 20, 150, (7, 7), (1, 1), (1, 1), (0, 0), (1, 1), 1),  # several blocks of joined images
    (3, 330, 9, (5, 3), (1, 1), (1, 1), (0, 0), (1, 1), 1),  # images with fewer places than a panel
    (5, 150, 330, (14, 13), (1, 1), (2, 3), (0, 0), (1, 1), 1),
    (4, 6, 10, (33, 9), (1, 1), (1, 2), (0, 0), (1, 1), 2),
    (3, 7, 5, (2, 40), (1, 1), (2, 1), (0, 0), (1, 1), 1),
    (2, 8, 8, (3, 2), (1, 1), (4, 4), (0, 0), (1, 1), 1),
    (2, 24, 24, (14, 14), (3, 3), (1, 1), (1, 1), (1, 1), 24),
    (1, 32, 24, (12, 12), (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (2, 3, 3, (50, 60), (3, 3), (1, 1), (1, 1), (1, 1), 3),  # depthwise, in several bands
    (2, 3, 3, (61, 45), (3, 3), (2, 2), (1, 1), (1, 1), 3),
    (2, 5, 5, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1), 5),
    (1, 4, 4, (14, 14), (3, 3), (2, 2), (1, 1), (1, 1), 4),
    (2, 2, 6, (20, 19), (5, 5), (1, 1), (2, 2), (1, 1), 2),
    (2, 4, 4, (10, 31), (3, 3), (1, 1), (0, 0), (1, 1), 2),
    (1, 3, 3, (13, 17), (3, 3), (1, 1), (3, 2), (2, 3), 3),
    (1, 3, 3, (23, 20), (1, 1), (2, 2), (0, 0), (1, 1), 3),
    (1, 2, 2, (30, 29), (4, 5), (3, 2), (5, 4), (1, 2), 2),
    (1, 2, 2, (5, 1), (3, 1), (2, 2), (1, 0), (1, 1), 2),
    (3, 6, 12, (9, 11), (3, 2), (2, 1), (1, 0), (1, 2), 6),
    (1, 4, 6, (17, 13), (3, 2), (1, 3), (2, 0), (2, 3), 1),
    (1, 5, 7, (3, 4), (3, 4), (1, 1), (0, 0), (1, 1), 1),
    (1, 3, 4, (2, 2), (5, 5), (1, 1), (2, 2), (1, 1), 1),
    (2, 3, 5, (11,), (3,), (2,), (1,), (1,), 1),
    (2, 3, 5, (), (), (), (), (), 1),
    (1, 2, 3, (5, 6, 4), (2, 3, 3), (1, 2, 1), (0, 1, 1), (2, 1, 1), 1),
]


class Case:
    """A convolution with random images, filters and gradients, to run on a device."""

    def __init__(self, geometry: Any) -> None:
        images, channels, outputs, size, kernel, stride, pad, dilation, groups = geometry
        out = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, pad, dilation, strict=True)
        )
        rng = np.random.default_rng(3)
        self.x = rng.standard_normal((images, channels, *size), np.float32)
        self.weight = rng.standard_normal((outputs, channels // groups, *kernel), np.float32)
        self.bias = rng.standard_normal(outputs, np.float32)
        self.dy = rng.standard_normal((images, outputs, *out), np.float32)
        self.geometry = (kernel, stride, pad, dilation, groups)

    def plan(self, device: str) -> Any:
        ops = load_kernel("convolution", device)
        return ops.plan(self.x.shape, self.dy.shape, *self.geometry)

    def run(self, device: str, plan: Any = None) -> list[Any]:
        """y, dx, dW and db; dW and db are added to ones, all else starts as NaN."""
        ops = load_kernel("convolution", device)
        plan = plan or self.plan(device)
        scratch = np.full(ops.scratch_size(plan), np.nan, np.float32)
        y, dx = np.full_like(self.dy, np.nan), np.full_like(self.x, np.nan)
        dweight, dbias = np.ones_like(self.weight), np.ones_like(self.bias)
        ops.forward(plan, self.x, self.weight, self.bias, y, scratch)
        ops.backward_data(plan, self.dy, self.weight, dx, scratch)
        ops.backward_weight(plan, self.x, self.dy, dweight, scratch)
        ops.backward_bias(self.dy, dbias)
        return [y, dx, dweight, dbias]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_cpu_agrees_with_reference(geometry: Any) -> None:
    case = Case(geometry)
    for expected, actual in zip(case.run("reference"), case.run("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("geometry", [*GEOMETRIES[:8:3], *GEOMETRIES[8:20]], ids=str)
def test_bits_are_the_same_for_any_number_of_threads(geometry: Any) -> None:
    case = Case(geometry)
    alone = case.run("cpu")
    minicaffe.set_num_threads(2)
    try:
        together = [case.run("cpu") for _ in range(2)]
    finally:
        minicaffe.set_num_threads(1)
    for again in together:
        for one, two in zip(alone, again, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kept", [False, True])
def test_the_way_that_goes_is_the_first_that_its_reason_names(kept: bool) -> None:
    convolution = load_kernel("convolution", "cpu")
    plan = convolution.plan((4, 20, 12, 12), (4, 50, 8, 8), (5, 5), (1, 1), (0, 0), (1, 1), 1, kept)
    for way, why in zip(convolution.ways(plan), convolution.reasons(plan, kept), strict=True):
        first = why.partition("thread: ")[2].partition(", ")[0]
        assert first.startswith(f"{way} ") and first.endswith(" ms")
    plan = convolution.plan((4, 20, 12, 12), (4, 50, 12, 12), (1, 1), (1, 1), (0, 0), (1, 1), 1)
    assert set(convolution.reasons(plan)) == {"for filters of 1 x 1"}
