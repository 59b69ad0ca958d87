"""Batch normalisation, a channel a task: 20 bytes an element forward, 20 backward.

Arrays are (N, C, inner), those of a channel (C); m = N * inner values a channel. Sums are taken
in float32 along a row, in float64 over the rows. With inner = 1 a task is a block of channels and
the loops run along them.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._averages import accumulate, averages
from ._compile.jit import inner, kernel

__all__ = ["accumulate", "averages", "backward", "forward_batch", "forward_given"]

F32 = NDArray[np.float32]

BLOCK = 64  # channels of a task when inner is 1


def forward_batch(x: F32, mean: F32, variance: F32, eps: float, x_norm: F32, y: F32) -> None:
    """Write x's mean and biased variance, and x normalised by them into x_norm and y."""
    if x.shape[2] == 1:
        rows = x.shape[:2]
        _statistics_rows(x.reshape(rows), mean, variance)
        forward_given(x, mean, variance, eps, x_norm)
        y[...] = x_norm
    else:
        _forward_batch(x, mean, variance, np.float32(eps), x_norm, y)


def forward_given(x: F32, mean: F32, variance: F32, eps: float, y: F32) -> None:
    """Write (x - mean) / sqrt(variance + eps) into y (y may be x)."""
    if x.shape[2] == 1:
        rows = x.shape[:2]
        _forward_given_rows(x.reshape(rows), mean, variance, np.float32(eps), y.reshape(rows))
    else:
        _forward_given(x, mean, variance, np.float32(eps), y)


def backward(x_norm: F32 | None, dy: F32, variance: F32, eps: float, dx: F32) -> None:
    """Write the gradient into dx (dx may be dy).

    With x_norm, mean and variance depended on x; without, they were given.
    """
    given = x_norm is None
    norm = dy if x_norm is None else x_norm
    if dy.shape[2] == 1:
        norm, dy, dx = (array.reshape(dy.shape[:2]) for array in (norm, dy, dx))
        _backward_rows(norm, given, dy, variance, np.float32(eps), dx)
    else:
        _backward(norm, given, dy, variance, np.float32(eps), dx)


@inner(strict=True)
def _inverse_std(variance: np.float32, eps: np.float32) -> np.float32:
    return np.float32(1) / np.float32(math.sqrt(variance + eps))


@kernel
def _forward_batch(x: F32, mean: F32, variance: F32, eps: np.float32, x_norm: F32, y: F32) -> None:
    count, channels, size = x.shape
    for c in prange(channels):
        total = np.float64(0)
        for n in range(count):
            row = np.float32(0)
            for i in range(size):
                row += x[n, c, i]
            total += row
        centre = np.float32(total / (count * size))
        total = np.float64(0)
        for n in range(count):
            row = np.float32(0)
            for i in range(size):
                row += (x[n, c, i] - centre) * (x[n, c, i] - centre)
            total += row
        mean[c] = centre
        variance[c] = total / (count * size)
        factor = _inverse_std(variance[c], eps)
        for n in range(count):
            for i in range(size):
                value = (x[n, c, i] - centre) * factor
                x_norm[n, c, i] = value
                y[n, c, i] = value


@kernel
def _forward_given(x: F32, mean: F32, variance: F32, eps: np.float32, y: F32) -> None:
    count, channels, size = x.shape
    for c in prange(channels):
        factor = _inverse_std(variance[c], eps)
        for n in range(count):
            for i in range(size):
                y[n, c, i] = (x[n, c, i] - mean[c]) * factor


@kernel
def _backward(x_norm: F32, given: bool, dy: F32, variance: F32, eps: np.float32, dx: F32) -> None:
    count, channels, size = dy.shape
    for c in prange(channels):
        mean_dy = np.float32(0)
        mean_product = np.float32(0)
        if not given:
            total_dy = np.float64(0)
            total_product = np.float64(0)
            for n in range(count):
                row_dy = np.float32(0)
                row_product = np.float32(0)
                for i in range(size):
                    row_dy += dy[n, c, i]
                    row_product += dy[n, c, i] * x_norm[n, c, i]
                total_dy += row_dy
                total_product += row_product
            mean_dy = np.float32(total_dy / (count * size))
            mean_product = np.float32(total_product / (count * size))
        factor = _inverse_std(variance[c], eps)
        for n in range(count):
            for i in range(size):
                centred = dy[n, c, i] - mean_dy - mean_product * x_norm[n, c, i]
                dx[n, c, i] = centred * factor


@kernel
def _statistics_rows(x: F32, mean: F32, variance: F32) -> None:
    count, channels = x.shape
    for block in prange((channels + BLOCK - 1) // BLOCK):
        mine = slice(block * BLOCK, min(block * BLOCK + BLOCK, channels))
        centre, square = mean[mine], variance[mine]
        centre[:] = np.float32(0)
        square[:] = np.float32(0)
        for n in range(count):
            row = x[n, mine]
            for c in range(row.size):
                centre[c] += row[c]
        for c in range(centre.size):
            centre[c] /= np.float32(count)
        for n in range(count):
            row = x[n, mine]
            for c in range(row.size):
                square[c] += (row[c] - centre[c]) * (row[c] - centre[c])
        for c in range(square.size):
            square[c] /= np.float32(count)


@kernel
def _forward_given_rows(x: F32, mean: F32, variance: F32, eps: np.float32, y: F32) -> None:
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - mean[c]) * _inverse_std(variance[c], eps)


@kernel
def _backward_rows(
    x_norm: F32, given: bool, dy: F32, variance: F32, eps: np.float32, dx: F32
) -> None:
    count, channels = dy.shape
    for block in prange((channels + BLOCK - 1) // BLOCK):
        mine = slice(block * BLOCK, min(block * BLOCK + BLOCK, channels))
        factor = variance[mine]
        mean_dy = np.zeros(factor.size, np.float32)
        mean_product = np.zeros(factor.size, np.float32)
        if not given:
            for n in range(count):
                row, norm = dy[n, mine], x_norm[n, mine]
                for c in range(row.size):
                    mean_dy[c] += row[c] / np.float32(count)
                    mean_product[c] += row[c] * norm[c] / np.float32(count)
        for n in range(count):
            row, norm, target = dy[n, mine], x_norm[n, mine], dx[n, mine]
            for c in range(row.size):
                centred = row[c] - mean_dy[c] - mean_product[c] * norm[c]
                target[c] = centred * _inverse_std(factor[c], eps)
