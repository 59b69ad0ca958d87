"""SigmoidCrossEntropyLoss: max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._means import write_mean
from ._compile.jit import kernel
from ._scalar import exp_or_zero, log, sigmoid

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

BLOCK = 1024  # a partial sum for each: the total does not depend on the number of threads


def forward(x: F32, target: F32, loss: F32, found: I32, divisor: int, ignore: int | None) -> None:
    """Write into loss (1) the sum of the losses of the targets that count, divided by `divisor` or,
    if that is 0, by how many count (at least 1); into found (2) -1 (every target will do), and what
    the sum was divided by. Flat arrays.
    """
    blocks = (x.size + BLOCK - 1) // BLOCK
    sums, counts = np.empty(blocks), np.empty(blocks, np.int64)
    _forward(x, target, sums, counts, _ignored_value(ignore))
    write_mean(float(sums.sum()), int(counts.sum()), -1, divisor, loss, found)


def backward(x: F32, target: F32, dx: F32, scale: float, found: I32, ignore: int | None) -> None:
    """Write scale / found[1] (sigmoid(x) - target) into dx, 0 where the target is ignored."""
    _backward(x, target, dx, np.float32(scale / found.item(1)), _ignored_value(ignore))


def _ignored_value(ignore: int | None) -> np.float32:
    return np.float32(np.nan if ignore is None else ignore)  # nothing equals NaN


@kernel
def _forward(x: F32, target: F32, sums: F64, counts: I64, ignore: np.float32) -> None:
    for block in prange(sums.size):
        start, stop = block * BLOCK, min(x.size, (block + 1) * BLOCK)
        total = 0.0  # the sum of two losses may be too large for float32
        for i in range(start, stop):
            soft = log(np.float32(1) + exp_or_zero(-abs(x[i])))
            loss = max(x[i], np.float32(0)) - x[i] * target[i] + soft
            total += np.float64(loss if np.trunc(target[i]) != ignore else np.float32(0))
        count = 0
        for i in range(start, stop):  # apart: a loop with two sums would not become vector code
            count += np.trunc(target[i]) != ignore
        sums[block] = total
        counts[block] = count


@kernel
def _backward(x: F32, target: F32, dx: F32, scale: np.float32, ignore: np.float32) -> None:
    for i in prange(x.size):
        value = scale * (sigmoid(x[i]) - target[i])
        dx[i] = value if np.trunc(target[i]) != ignore else np.float32(0)
