"""BatchNorm, Scale and ReLU in one go, a channel a task: what memory gives is used while in cache.

    x_norm = (x - mean) / sqrt(variance + eps)      z = scale x_norm + bias      y = relu(z)

Arrays are (N, C, inner), those of a channel (C), as in `batch_norm` and `scale`. Without scale it
is 1, without bias 0, and without a slope there is no ReLU: a slope of 1 changes nothing, nor does
the product with 1 or the sum with 0, so the loops have one form for all.

One by one, the three layers move a blob through memory again and again: forward in TRAIN they read
it four times (x; y, to keep a copy; the copy; y) and write it five times (x_norm and y; the copy;
y twice), and a write of 4 bytes moves 8 unless these were read just before. Here a
task does everything with the N rows of a channel, then takes the next channel. The rows are in the
L2 cache after the first pass: of ResNet-50 at batch 8 they are 401 KB after conv1, 100 KB and less
everywhere else. So memory sees each array once:

                           bytes an element     passes over the rows of a channel     FLOPs
    forward_batch          12: x, x_norm, y     mean; variance; x_norm and y             10
    forward_given           8: x, y             y (a row a task: nothing to wait for)     6
      and x_norm is kept   12: x, x_norm, y     x_norm, then y, row by row                6
    backward               16: dy, y, x_norm,   four sums, dy becomes the gradient of    16
                               dx               x_norm; dx

Each number is computed by the expressions of `batch_norm`, `scale` and `relu`, and rounded where
these store it. That takes care: compiled freely, `scale * ((x - mean) * factor)` may become
`(scale * factor) * (x - mean)`. So the kernels are strict, and only the functions that they call
have the liberties of `FASTMATH` (`_compile/jit.py`): sums in vectors, and multiplication and
addition in one step.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel
from .relu import rectified

F32 = NDArray[np.float32]
OfChannels = tuple[F32, bool, F32, bool]  # scale and bias: numbers, and whether there are any
Sums = tuple[np.float32, np.float32, np.float32, np.float32]

ZERO, ONE = np.float32(0), np.float32(1)


def forward_batch(
    x: F32, eps: float, scale: F32 | None, bias: F32 | None, slope: float | None,
    mean: F32, variance: F32, x_norm: F32, y: F32,
) -> None:  # fmt: skip
    """Normalise by x's own mean and biased variance, which are written, as are x_norm and y.

    y may be x.
    """
    channel = _of_channels(mean, scale, bias)
    _forward_batch(x, np.float32(eps), channel, _slope(slope), mean, variance, x_norm, y)


def forward_given(
    x: F32, eps: float, scale: F32 | None, bias: F32 | None, slope: float | None,
    mean: F32, variance: F32, x_norm: F32 | None, y: F32,
) -> None:  # fmt: skip
    """Normalise by a mean and a variance, into y (y may be x), and into x_norm unless None."""
    channel = _of_channels(mean, scale, bias)
    numbers = np.float32(eps), channel, _slope(slope), mean, variance
    if x_norm is not None:
        _forward_given_kept(x, *numbers, x_norm, y)
    elif np.may_share_memory(x, y):
        _forward_given_in_place(*numbers, y)
    else:
        _forward_given(x, *numbers, y)


def backward(
    y: F32, x_norm: F32, given: bool, variance: F32, eps: float, scale: F32 | None,
    slope: float | None, dy: F32, dscale: F32 | None, dbias: F32 | None, dx: F32,
) -> None:  # fmt: skip
    """Write the gradient into dx (dx may be dy), and add those of scale and bias unless None.

    dy is left as the gradient of x_norm. `given`: mean and variance did not depend on x. So many
    arguments, because those of three layers are in it.
    """
    sign = x_norm if slope is None else y  # any number will do, and x_norm is read anyway
    gain = (variance, False) if scale is None else (scale, True)  # what is absent is not touched
    _backward(
        sign, x_norm, (given, variance, np.float32(eps)), gain, _slope(slope), dy,
        _of_channels(variance, dscale, dbias), dx, np.may_share_memory(dy, dx),
    )  # fmt: skip


def _of_channels(some: F32, scale: F32 | None, bias: F32 | None) -> OfChannels:
    """Arrays for both, and whether they are there; `some` array stands for what is absent."""
    return (
        some if scale is None else scale, scale is not None,
        some if bias is None else bias, bias is not None,
    )  # fmt: skip


def _slope(slope: float | None) -> np.float32:
    return ONE if slope is None else np.float32(slope)


@inner
def _scaled(x: np.float32, scale: np.float32, bias: np.float32) -> np.float32:
    return scale * x + bias


@inner
def _sum(row: F32) -> np.float32:
    total = np.float32(0)
    for i in range(row.size):
        total += row[i]
    return total


@inner
def _sum_of_squares(row: F32, centre: np.float32) -> np.float32:
    total = np.float32(0)
    for i in range(row.size):
        total += (row[i] - centre) * (row[i] - centre)
    return total


@kernel(strict=True)
def _forward_batch(
    x: F32, eps: np.float32, channel: OfChannels, slope: np.float32,
    mean: F32, variance: F32, x_norm: F32, y: F32,
) -> None:  # fmt: skip
    scale, scaled, bias, biased = channel
    count, channels, size = x.shape
    for c in prange(channels):
        total = np.float64(0)
        for n in range(count):
            total += _sum(x[n, c])
        centre = np.float32(total / (count * size))
        total = np.float64(0)
        for n in range(count):
            total += _sum_of_squares(x[n, c], centre)
        mean[c] = centre
        variance[c] = total / (count * size)
        factor = ONE / np.float32(math.sqrt(variance[c] + eps))
        gain = scale[c] if scaled else ONE
        shift = bias[c] if biased else ZERO
        for n in range(count):
            for i in range(size):
                x_norm[n, c, i] = (x[n, c, i] - centre) * factor
            for i in range(size):
                y[n, c, i] = rectified(_scaled(x_norm[n, c, i], gain, shift), slope)


@kernel(strict=True)
def _forward_given_kept(
    x: F32, eps: np.float32, channel: OfChannels, slope: np.float32,
    mean: F32, variance: F32, x_norm: F32, y: F32,
) -> None:  # fmt: skip
    scale, scaled, bias, biased = channel
    count, channels, size = x.shape
    for task in prange(count * channels):
        n = task // channels
        c = task % channels
        factor = ONE / np.float32(math.sqrt(variance[c] + eps))
        centre = mean[c]
        gain = scale[c] if scaled else ONE
        shift = bias[c] if biased else ZERO
        for i in range(size):
            x_norm[n, c, i] = (x[n, c, i] - centre) * factor
        for i in range(size):
            y[n, c, i] = rectified(_scaled(x_norm[n, c, i], gain, shift), slope)


@kernel(strict=True)
def _forward_given(
    x: F32, eps: np.float32, channel: OfChannels, slope: np.float32,
    mean: F32, variance: F32, y: F32,
) -> None:  # fmt: skip
    scale, scaled, bias, biased = channel
    count, channels, size = x.shape
    for task in prange(count * channels):
        n = task // channels
        c = task % channels
        factor = ONE / np.float32(math.sqrt(variance[c] + eps))
        centre = mean[c]
        gain = scale[c] if scaled else ONE
        shift = bias[c] if biased else ZERO
        for i in range(size):
            norm = (x[n, c, i] - centre) * factor
            y[n, c, i] = rectified(_scaled(norm, gain, shift), slope)


@kernel(strict=True)
def _forward_given_in_place(
    eps: np.float32, channel: OfChannels, slope: np.float32, mean: F32, variance: F32, y: F32
) -> None:
    scale, scaled, bias, biased = channel
    count, channels, size = y.shape
    for task in prange(count * channels):
        n = task // channels
        c = task % channels
        factor = ONE / np.float32(math.sqrt(variance[c] + eps))
        centre = mean[c]
        gain = scale[c] if scaled else ONE
        shift = bias[c] if biased else ZERO
        for i in range(size):
            norm = (y[n, c, i] - centre) * factor
            y[n, c, i] = rectified(_scaled(norm, gain, shift), slope)


@inner
def _sums(dy: F32, y: F32, x_norm: F32, slope: np.float32, gain: np.float32) -> Sums:
    """What a row adds to Σ dz, Σ dz x_norm, Σ dx_norm and Σ dx_norm x_norm; dy becomes dx_norm."""
    shift, product, norm_shift, norm_product = ZERO, ZERO, ZERO, ZERO
    for i in range(dy.size):
        dz = dy[i] if y[i] > 0 else slope * dy[i]
        norm = gain * dz
        shift += dz
        product += dz * x_norm[i]
        norm_shift += norm
        norm_product += norm * x_norm[i]
        dy[i] = norm
    return shift, product, norm_shift, norm_product


@inner
def _centred(dy: np.float32, mean: np.float32, slope: np.float32, x_norm: np.float32) -> np.float32:
    return dy - mean - slope * x_norm


@kernel(strict=True)
def _backward(
    y: F32, x_norm: F32, statistics: tuple[bool, F32, np.float32], channel: tuple[F32, bool],
    slope: np.float32, dy: F32, gradients: OfChannels, dx: F32, in_place: bool,
) -> None:  # fmt: skip
    given, variance, eps = statistics
    scale, scaled = channel
    dscale, scale_learns, dbias, bias_learns = gradients
    count, channels, size = dy.shape
    for c in prange(channels):
        gain = scale[c] if scaled else ONE
        sum_dz, sum_product = np.float64(0), np.float64(0)
        sum_norm, sum_norm_product = np.float64(0), np.float64(0)
        for n in range(count):
            row = _sums(dy[n, c], y[n, c], x_norm[n, c], slope, gain)
            sum_dz += row[0]
            sum_product += row[1]
            sum_norm += row[2]
            sum_norm_product += row[3]
        if scale_learns:
            dscale[c] += np.float32(sum_product)
        if bias_learns:
            dbias[c] += np.float32(sum_dz)
        mean_dy = ZERO if given else np.float32(sum_norm / (count * size))
        mean_product = ZERO if given else np.float32(sum_norm_product / (count * size))
        factor = ONE / np.float32(math.sqrt(variance[c] + eps))
        for n in range(count):
            norm = x_norm[n, c]
            source, target = dy[n, c], dx[n, c]
            if in_place and given:
                for i in range(size):
                    target[i] *= factor
            elif in_place:
                for i in range(size):
                    target[i] = _centred(target[i], mean_dy, mean_product, norm[i]) * factor
            else:
                for i in range(size):
                    target[i] = _centred(source[i], mean_dy, mean_product, norm[i]) * factor
