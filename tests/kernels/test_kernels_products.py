"""Kernels that stand on gemm or beside it: inner product, im2col and col2im."""

from typing import Any

import numpy as np
import pytest

from tests.conftest import DEVICES
from tests.device_kernels import kernels_of


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("size", [(1, 1, 1), (64, 10, 50), (7, 130, 3), (2, 200, 300)], ids=str)
def test_inner_product_is_its_definition(size: Any, transpose: bool, device: str) -> None:
    m, n, k = size
    ops = kernels_of("inner_product", device)
    rng = np.random.default_rng(4)
    x, dy = rng.standard_normal((m, k), np.float32), rng.standard_normal((m, n), np.float32)
    weight, bias = rng.standard_normal((n, k), np.float32), rng.standard_normal(n, np.float32)
    kept = np.ascontiguousarray(weight.T) if transpose else weight

    y, dx = np.full((m, n), np.nan, np.float32), np.full((m, k), np.nan, np.float32)
    dweight, dbias = np.ones_like(kept), np.ones_like(bias)
    ops.forward(x, kept, bias, y, transpose)
    np.testing.assert_allclose(y, x @ weight.T + bias, rtol=1e-4, atol=1e-4)
    ops.forward(x, kept, None, y, transpose)
    np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-4)
    ops.backward_data(dy, kept, dx, transpose)
    np.testing.assert_allclose(dx, dy @ weight, rtol=1e-4, atol=1e-4)
    ops.backward_weight(x, dy, dweight, transpose)
    expected = 1 + dy.T @ x
    np.testing.assert_allclose(dweight, expected.T if transpose else expected, rtol=1e-4, atol=1e-4)
    ops.backward_bias(dy, dbias)
    np.testing.assert_allclose(dbias, 1 + dy.sum(axis=0), rtol=1e-4, atol=1e-4)


# size, kernel, stride, pad, dilation: no axis, and one to four
GEOMETRIES = [
    ((), (), (), (), ()),
    ((9,), (3,), (2,), (1,), (2,)),
    ((6, 7), (3, 2), (2, 1), (1, 0), (1, 3)),
    ((3, 3), (3, 3), (1, 1), (3, 3), (1, 1)),  # some taps see nothing but margins
    ((4, 5, 3), (2, 3, 2), (1, 2, 1), (1, 1, 0), (1, 1, 2)),
    ((3, 4, 3, 2), (2, 1, 2, 2), (1, 2, 1, 1), (1, 1, 0, 0), (1, 1, 2, 1)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_im2col_agrees_with_reference(geometry: Any) -> None:
    size, kernel, stride, pad, dilation = geometry
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, pad, dilation, strict=True)
    )
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 3, *size), np.float32)
    found = {}
    for device in DEVICES:
        ops = kernels_of("im2col", device)
        col = np.full((2, 3 * int(np.prod(kernel)), *out), np.nan, np.float32)
        dx = np.full_like(x, np.nan)
        ops.im2col(x, col, kernel, stride, pad, dilation)
        ops.col2im(col, dx, kernel, stride, pad, dilation)
        found[device] = col, dx
    for device in DEVICES:
        np.testing.assert_array_equal(found[device][0], found["reference"][0])
        np.testing.assert_allclose(found[device][1], found["reference"][1], rtol=1e-5, atol=1e-5)


def test_im2col_of_a_small_image(device: str) -> None:
    """Channel first, then the kernel's row, then its column; zeros outside of the image."""
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    col = np.empty((1, 4, 1, 3), np.float32)
    ops = kernels_of("im2col", device)
    ops.im2col(x, col, (2, 2), (1, 1), (0, 1), (1, 1))
    np.testing.assert_array_equal(col[0, :, 0], [[0, 1, 2], [1, 2, 0], [0, 3, 4], [3, 4, 0]])
    dx = np.empty_like(x)
    ops.col2im(col, dx, (2, 2), (1, 1), (0, 1), (1, 1))
    np.testing.assert_array_equal(dx, 2 * x)
