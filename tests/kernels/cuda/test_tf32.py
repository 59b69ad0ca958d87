"""Products on tensor cores: 10 bits of each factor, float32 sums, in tiles of each size."""

import argparse
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.cli._net_flags import choose_device
from minicaffe.device import load_kernel
from minicaffe.errors import DeviceError
from minicaffe.kernels.cuda._tiles import FLAT, LARGE, MIDDLE, Tile, as_wanted
from minicaffe.kernels.cuda.gemm import launch
from tests.kernels.cuda.case import normal, upload


@pytest.fixture
def tf32() -> None:
    """The precision of the test; each test has a context of its own."""
    context.current().precision = "tf32"


def multiplied(a: Any, b: Any, tile: Tile) -> Any:
    """The product that the device makes in such tiles."""
    c = normal(a.shape[0], b.shape[1])
    moved = upload([a, b, c], "cuda", {})
    launch(*moved, False, False, 1.0, 0.0, a.shape[1], as_wanted(tile))
    load_kernel("memory", "cuda").download(moved[2], c)
    return c


@pytest.mark.parametrize("tile", [LARGE, MIDDLE, FLAT], ids=str)
def test_the_error_of_products(cuda: str, emulated: None, tf32: None, tile: Tile) -> None:
    a, b = normal(tile.rows + 3, 37), normal(37, tile.columns + 5)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error = np.abs(multiplied(a, b, tile) - exact)
    most = 2.0**-10 * (np.abs(a) @ np.abs(b))
    assert (error <= most).all()
    assert error.max() > 2.0**-10 * most.max()  # float32 would be nearer


def test_numbers_of_ten_bits_are_exact(cuda: str, emulated: None, tf32: None) -> None:
    a = np.arange(-32, 32, dtype=np.float32).reshape(8, 8)
    b = np.arange(0, 64, dtype=np.float32).reshape(8, 8)
    np.testing.assert_array_equal(multiplied(a, b, FLAT), a @ b)


def test_convolutions(cuda: str, emulated: None, tf32: None) -> None:
    shapes = (2, 3, 7, 6), (2, 5, 7, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1
    x, weight, y = normal(*shapes[0]), normal(5, 3, 3, 3), normal(*shapes[1])
    family = load_kernel("convolution", "reference")
    results = []
    for values, filters in ((x, weight), (np.abs(x), np.abs(weight))):
        plan = family.plan(*shapes)
        family.forward(plan, values, filters, None, y, normal(family.scratch_size(plan)))
        results.append(y.copy())
    family, moved = load_kernel("convolution", cuda), upload([x, weight, y], cuda, {})
    family.forward(family.plan(*shapes), moved[0], moved[1], None, moved[2], moved[2])
    load_kernel("memory", cuda).download(moved[2], y)
    assert (np.abs(y - results[0]) <= 2.0**-10 * results[1]).all()
    assert (y != results[0]).any()


def test_the_flag_of_commands(cuda: str) -> None:
    args = argparse.Namespace(device=cuda, gpu="", precision="tf32")
    assert choose_device(args) == cuda
    assert as_wanted(FLAT).tensor
    choose_device(argparse.Namespace(device=cuda, gpu="", precision="float32"))
    assert not as_wanted(FLAT).tensor


def test_precisions_have_names() -> None:
    minicaffe.set_precision("tf32")
    assert context.current().precision == "tf32"
    with pytest.raises(DeviceError, match=r"no precision 'half' \(there are: float32, tf32\)"):
        minicaffe.set_precision("half")
