"""Convolution of small planes on cpu: images in the lanes of vectors, and sums of few taps."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.kernels.cpu import convolution
from minicaffe.kernels.cpu._vector.instructions import LANES
from minicaffe.kernels.cpu.convolution import choice as choosing
from minicaffe.kernels.cpu.convolution import direct as flat
from minicaffe.kernels.cpu.convolution.small import dots, images
from minicaffe.kernels.cpu.convolution.unfolded import plan
from minicaffe.kernels.cpu.convolution.winograd import choice as _winograd_choice
from minicaffe.kernels.cpu.convolution.winograd.choice import DATA, FORWARD, WEIGHT
from tests.conftest import CHECKOUT
from tests.kernels.convolution.test_ways import Case

# images, channels, outputs, (height, width), kernel, stride, pad, dilation, groups
GEOMETRIES = [
    (17, 20, 50, (12, 12), (5, 5), (1, 1), (0, 0), (1, 1), 1),
    (1, 1, 20, (28, 28), (5, 5), (1, 1), (0, 0), (1, 1), 1),
    (33, 3, 7, (5, 9), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (16, 4, 6, (7, 7), (3, 3), (2, 2), (1, 1), (1, 1), 2),
    (5, 6, 9, (11, 8), (3, 2), (1, 3), (2, 0), (2, 3), 3),
    (9, 70, 5, (4, 3), (3, 3), (1, 1), (1, 1), (1, 1), 1),  # sums of more than one block
    (2, 2, 150, (3, 3), (2, 2), (1, 1), (0, 0), (1, 1), 1),  # outputs of more than one block
    (19, 3, 5, (2, 2), (3, 3), (1, 1), (4, 5), (1, 1), 1),  # places that see only margins
    (3, 2, 4, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (20, 5, 3, (4, 20), (4, 5), (1, 1), (3, 2), (1, 1), 1),
    (6, 1, 6, (35, 34), (3, 4), (2, 2), (1, 1), (1, 1), 1),  # lines of 16 places from here on
    (3, 2, 8, (18, 16), (3, 5), (1, 1), (1, 2), (1, 1), 2),
    (10, 1, 3, (9, 33), (1, 3), (1, 2), (0, 0), (1, 1), 1),
    (4, 3, 5, (8, 20), (3, 3), (1, 1), (0, 2), (2, 4), 1),
]


def sizes(geometry: Any) -> Any:
    case = Case(geometry)
    return plan(case.x.shape, case.dy.shape, *case.geometry)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways for small planes are used wherever they can be."""

    def way(plan: Any, product: int) -> Any:
        if product == WEIGHT:
            return dots if dots.fits(plan) else flat
        strided = (plan.stride_h, plan.stride_w) != (1, 1)
        return flat if product == DATA and strided else images

    monkeypatch.setattr(convolution, "_way", way)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_agrees_with_reference(small: None, geometry: Any) -> None:
    case = Case(geometry)
    for expected, actual in zip(case.run("reference"), case.run("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.skipif(LANES > 8, reason="lines of 24 places are not whole vectors")
def test_many_of_the_geometries_are_for_scalar_products() -> None:
    assert sum(dots.fits(sizes(geometry)) for geometry in GEOMETRIES) >= 4


@pytest.mark.parametrize("geometry", [GEOMETRIES[i] for i in (0, 1, 2, 4, 10, 11)], ids=str)
def test_bits_are_the_same_for_any_number_of_threads(small: None, geometry: Any) -> None:
    case = Case(geometry)
    alone = case.run("cpu")
    try:
        for threads in (2, 2, 3):  # 3 where the pool has so many
            minicaffe.set_num_threads(min(threads, int(os.environ["NUMBA_NUM_THREADS"])))
            for one, other in zip(alone, case.run("cpu"), strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        minicaffe.set_num_threads(1)


def test_outputs_can_be_rectified(small: None) -> None:
    case = Case(GEOMETRIES[2])
    scratch = np.empty(
        convolution.scratch_size(case.x.shape, case.dy.shape, *case.geometry), np.float32
    )
    plain, rectified = np.empty_like(case.dy), np.empty_like(case.dy)
    convolution.forward(case.x, case.weight, case.bias, plain, scratch, *case.geometry)
    convolution.forward(case.x, case.weight, case.bias, rectified, scratch, *case.geometry, 0.25)
    np.testing.assert_array_equal(rectified, np.where(plain > 0, plain, plain * np.float32(0.25)))


def test_neighbours_of_the_results_are_left_alone(small: None) -> None:
    case = Case(GEOMETRIES[2])
    scratch = np.empty(
        convolution.scratch_size(case.x.shape, case.dy.shape, *case.geometry), np.float32
    )
    for like, run in (
        (case.dy, lambda y: convolution.forward(
            case.x, case.weight, case.bias, y, scratch, *case.geometry)),
        (case.x, lambda dx: convolution.backward_data(
            case.dy, case.weight, dx, scratch, *case.geometry)),
    ):  # fmt: skip
        memory = np.full(like.size + 64, 7, np.float32)
        run(memory[32:-32].reshape(like.shape))
        assert (memory[:32] == 7).all() and (memory[-32:] == 7).all()


# ---- the choice


def shape(
    images: int, channels: int, outputs: int, size: int, kernel: int, stride: int = 1, pad: int = 0
) -> Any:
    out = (size + 2 * pad - kernel) // stride + 1
    x, y = (images, channels, size, size), (images, outputs, out, out)
    return plan(x, y, (kernel, kernel), (stride, stride), (pad, pad), (1, 1), 1)


def chosen(case: Any) -> list[int]:
    """The ways of forward, backward to the images, and to the weights."""
    return [choosing.decide(case, product)[0] for product in (FORWARD, DATA, WEIGHT)]


@pytest.mark.skipif(LANES != 8, reason="other vectors have other costs")
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (shape(64, 20, 50, 12, 5), [choosing.TILES, choosing.IMAGES, choosing.CHANNELS]),
        (shape(64, 1, 20, 28, 5), [choosing.DIRECT, choosing.DIRECT, choosing.DOTS]),
        (shape(100, 32, 64, 8, 5, 1, 2), [choosing.TILES, choosing.TILES, choosing.CHANNELS]),
        # lines of tiles that fill the lanes
        (shape(100, 32, 32, 16, 5, 1, 2), [choosing.WINOGRAD] * 2 + [choosing.CHANNELS]),
        # few images; filters that are larger than what they are used for
        (shape(8, 512, 512, 7, 3, 1, 1), [choosing.WINOGRAD] * 3),
        # no filtering, and nothing in vain
        (shape(64, 64, 256, 14, 1), [choosing.DIRECT] * 3),
        (shape(16, 3, 96, 227, 11, 4), [choosing.DIRECT] * 3),
        # lines of 25 places; outputs that fill the vectors
        (shape(64, 1, 20, 29, 5), [choosing.DIRECT] * 3),
        (shape(64, 1, 32, 28, 5), [choosing.DIRECT] * 3),
    ],
)
def test_the_choice(case: Any, expected: list[int]) -> None:
    assert chosen(case) == expected


@pytest.mark.parametrize("word", ["off", "exact"])
def test_the_user_decides_about_filterings(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_winograd_choice, "_allowed", None)
    monkeypatch.setenv("MINICAFFE_WINOGRAD", word)
    for case in (shape(64, 20, 50, 12, 5), shape(64, 64, 64, 8, 3, 1, 1)):
        for product in (FORWARD, DATA, WEIGHT):
            assert choosing.decide(case, product)[1] in ((-1,) if word == "off" else (-1, 0))


# ---- plain Python

PLAIN = """
import numpy as np
from tests.kernels.convolution.test_ways import Case
from tests.kernels.convolution.test_small import convolution, dots, flat, images
for weights, geometry in (
    (flat, (3, 2, 3, (6, 5), (3, 3), (1, 1), (1, 1), (1, 1), 1)),
    (dots, (2, 1, 5, (4, 18), (2, 3), (1, 1), (0, 0), (1, 1), 1)),
):
    convolution._way = lambda plan, product: weights if product == 2 else images
    case = Case(geometry)
    for one, two in zip(case.run("reference"), case.run("cpu")):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
print("equal")
"""


def test_runs_as_plain_python() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLAIN],
        capture_output=True, text=True, timeout=100, env=environment,
    )  # fmt: skip
    assert done.stdout.strip() == "equal", done.stderr
