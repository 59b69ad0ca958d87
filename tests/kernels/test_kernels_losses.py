"""Softmax and losses on cpu: the numbers of the reference, over vectors, tiles and blocks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.device import load_kernel
from tests.conftest import DEVICES
from tests.device_kernels import kernels_of

SMALLEST = float(np.finfo(np.float32).tiny)


def results() -> tuple[Any, Any]:
    """What the kernels of losses write besides: the loss, and the bad label with the divisor."""
    return np.full(1, 7, np.float32), np.full(2, 7, np.int32)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    minicaffe.set_num_threads(request.param)
    yield request.param
    minicaffe.set_num_threads(1)


@pytest.mark.parametrize(
    "shape",
    [(7, 1000, 1), (3, 10, 1), (5, 67, 1), (2, 21, 1500), (1, 3, 5), (1, 300, 600)],
    ids=str,
)
def test_softmax(shape: Any, threads: int) -> None:
    rng = np.random.default_rng(1)
    x = 30 * rng.standard_normal(shape, np.float32)
    x[0, 1, 0] = np.inf if shape[1] == 67 else x[0, 1, 0]
    x[-1, -1, -1] = -np.inf
    dy = rng.standard_normal(shape, np.float32)
    found = {}
    for device in DEVICES:
        ops = kernels_of("softmax", device)
        y, dx = np.full_like(x, 7), np.full_like(x, 7)
        with np.errstate(invalid="ignore"):
            ops.forward(x, y)
            ops.backward(y, dy, dx)
        found[device] = y, dx
    for device in DEVICES:
        for expected, actual in zip(found["reference"], found[device], strict=True):
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("where", [None, 0, 1500, 2499])
def test_cross_entropy(where: int | None, threads: int) -> None:
    """2500 labels, a third of them ignored; a bad one is found wherever it is."""
    rng = np.random.default_rng(2)
    prob = rng.random((5, 4, 500), np.float32)
    prob[0, :, 3] = 0
    label = rng.integers(0, 3, (5, 500)).astype(np.float32) + rng.random((5, 500), np.float32) / 2
    if where is not None:
        label.flat[where] = -2
    for device in DEVICES:
        losses, loss, found = np.full_like(label, 7), *results()
        kernels_of("cross_entropy", device).forward(
            prob, label, losses, loss, found, SMALLEST, 0, 2
        )
        if device == "reference":
            expected = found, loss, losses
        assert found[0] == expected[0][0] == (-1 if where is None else where)
        if where is None:
            assert found[1] == expected[0][1]
            assert loss == pytest.approx(expected[1], rel=1e-5)
            np.testing.assert_allclose(losses, expected[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "shape", [(64, 10, 1), (7, 1000, 1), (3, 5000, 1), (900, 3, 1), (2, 4, 50)]
)
def test_cross_entropy_of_scores(shape: Any, threads: int) -> None:
    """The softmax and the losses at once are those of one after the other."""
    rng = np.random.default_rng(5)
    x = 5 * rng.standard_normal(shape, np.float32)
    label = rng.integers(0, 3, (shape[0], shape[2])).astype(np.float32)
    bad = label.copy()
    bad[-1, -1] = shape[1]
    found = {}
    for device in DEVICES:
        ops = kernels_of("cross_entropy", device)
        prob, losses = np.full_like(x, 7), np.full_like(label, 7)
        loss, counted = results()
        ops.forward_scores(x, label, prob, losses, loss, counted, SMALLEST, 0, 2)
        assert counted[0] == -1
        found[device] = loss, counted[1], prob, losses
        spoilt = np.empty_like(prob), np.empty_like(losses), *results()
        ops.forward_scores(x, bad, *spoilt, SMALLEST, 0, 2)
        assert spoilt[3][0] == label.size - 1
    assert found["cpu"][1] == (label != 2).sum()
    for device in DEVICES:
        for expected, actual in zip(found["reference"], found[device], strict=True):
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


def test_sums_of_losses(threads: int) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 5003), np.float32)
    target = rng.integers(0, 2, 5003).astype(np.float32)
    found = {}
    for device in DEVICES:
        difference = np.empty_like(a)
        total, _ = results()
        kernels_of("euclidean_loss", device).forward(a, b, difference, total, 2)
        loss, counted = results()
        ops = kernels_of("sigmoid_cross_entropy_loss", device)
        ops.forward(9 * a, target, loss, counted, 0, 1)
        found[device] = [total[0], loss[0], counted[1], difference.sum()]
        assert counted[0] == -1
    for device in DEVICES:
        np.testing.assert_allclose(found[device], found["reference"], rtol=1e-5)


def test_the_same_bits_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 21, 2500), np.float32)
    made = []
    for count in (1, 2):
        minicaffe.set_num_threads(count)
        y = np.empty_like(x)
        load_kernel("softmax", "cpu").forward(x, y)
        z = np.empty_like(x)
        total, _ = results()
        load_kernel("euclidean_loss", "cpu").forward(x.ravel(), y.ravel(), z.ravel(), total, 2)
        made.append((y, total))
    minicaffe.set_num_threads(1)
    np.testing.assert_array_equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1]
