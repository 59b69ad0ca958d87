"""kernels/cpu/convolution/_winograd.py: three transforms, the whole, its rounding errors."""

import numpy as np
import pytest

from minicaffe.kernels.cpu.convolution import _winograd as winograd
from minicaffe.labs.conv.tests.convolutions import (
    THREE,
    Case,
    Shape,
    check_backward_data,
    check_forward,
)
from minicaffe.labs.plugin import close

BOUND = 2.5e-6  # for outputs of variance 1: docs/performance.md, and the product's own tests

G = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
BT = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
AT = [[1, 1, 1, 0], [0, 1, -1, -1]]


def test_transform_filters(rng: np.random.Generator) -> None:
    weight = rng.standard_normal((2, 3, 3, 3)).astype(np.float32)
    u = np.full((16, 2, 3), np.nan, np.float32)
    winograd.transform_filters(weight, u)
    expected = np.einsum("ir,ocrt,jt->ijoc", G, weight, G).reshape(16, 2, 3)
    close("u", u, expected, "G g G.T of 2 filters of 3 channels; u[4 i + j, o, c]", atol=1e-6)


def test_transform_images(rng: np.random.Generator) -> None:
    case = Case(Shape(1, 2, 1, (3, 6), (3, 3), pad=(1, 2)), rng)  # 3 x 8 outputs: 2 x 4 tiles
    v = np.full((16, 2, 8), np.nan, np.float32)
    winograd.transform_images(case.plan().sizes, case.x[0], v)
    wide = np.pad(case.x[0], ((0, 0), (1, 2), (2, 2)))
    tiles = [wide[:, i : i + 4, j : j + 4] for i in (0, 2) for j in (0, 2, 4, 6)]
    expected = np.einsum("ir,tcrq,jq->ijct", BT, tiles, BT).reshape(16, 2, 8)
    said = "B.T d B of 2 channels of 3 x 6 pixels, pad (1, 2); v[4 i + j, c, tile]"
    close("v", v, expected, said, atol=1e-5)


def test_transform_back(rng: np.random.Generator) -> None:
    case = Case(Shape(1, 1, 2, (5, 4), (3, 3), pad=(0, 1)), rng)  # 3 x 4 outputs: 2 x 2 tiles
    m = rng.standard_normal((16, 2, 4)).astype(np.float32)
    y = np.full((2, 4, 4), np.nan, np.float32)[:, :3]  # the row below must stay as it is
    winograd.transform_back(case.plan().sizes, m, case.bias, y)
    tiles = np.einsum("ir,rqot,jq->otij", AT, m.reshape(4, 4, 2, 4), AT)
    whole = tiles.reshape(2, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(2, 4, 4)
    expected = whole[:, :3] + case.bias.reshape(2, 1, 1)
    close("y", y, expected, "bias + A.T M A, 3 x 4 outputs from 2 x 2 tiles", atol=1e-5)


def test_forward(rng: np.random.Generator) -> None:
    check_forward(winograd, THREE, rng)


def test_backward_data(rng: np.random.Generator) -> None:
    check_backward_data(winograd, THREE, rng)


def test_rounding_errors_are_small(rng: np.random.Generator) -> None:
    """As exact as the product's F(2, 3): outputs of variance 1, against float64."""
    case = Case(Shape(1, 32, 8, (8, 8), (3, 3), pad=(1, 1)), rng)
    case.weight *= np.float32((32 * 9) ** -0.5)
    case.bias[:] = 0
    plan, y = case.plan(), np.full_like(case.dy, np.nan)
    winograd.forward(plan, case.x, case.weight, case.bias, y, case.scratch(winograd, plan))
    error = float(abs(y - case.exact()[0]).max())
    if not error < BOUND:
        pytest.fail(
            f"the largest error of y is {error:.2g}, at most {BOUND:g} is expected (32 channels, "
            "outputs of variance 1): is everything float32, and are the matrices those of F(2, 3)?"
        )
