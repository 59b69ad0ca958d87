"""InfogainLoss of probabilities (outer, classes, inner), labels (outer, inner), matrix H.

Forward a warp takes a label where inner = 1 (a classifier), so that its lanes read neighbouring
classes; in maps a thread does, as its neighbours' probabilities lie beside its own. Backward a
thread writes an element; the sums of H's rows are a small pass before.
"""

from typing import Any

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, I32, WARP, grid, threadIdx
from ._labels import OUTSIDE, class_of, ignored_label
from ._means import NONE, write_mean
from ._reduce import warp_sum
from ._scalar import log

SMALLEST = np.float32(1e-20)  # no probability counts as less


def forward(
    prob: DeviceArray,
    label: DeviceArray,
    matrix: DeviceArray,
    losses: DeviceArray,
    loss: DeviceArray,
    found: DeviceArray,
    divisor: int,
    ignore: int | None,
) -> None:
    """Write -Σ_c H[label, c] log p_c into losses (outer, inner), 0 where ignored.

    Writes into loss (1) their sum, divided by `divisor` or, if that is 0, by the number of labels
    that count (at least 1); into found (2) the flat index of the first bad label or -1, and what
    the sum was divided by.
    """
    args = (prob, label.reshape(-1), matrix, losses.reshape(-1), ignored_label(ignore))
    if prob.shape[2] == 1:
        write_mean(_of_row, label.size * WARP, args, divisor, loss, found)
    else:
        write_mean(_of_place, label.size, args, divisor, loss, found)


def backward(
    prob: DeviceArray,
    label: DeviceArray,
    matrix: DeviceArray,
    dx: DeviceArray,
    scale: float,
    found: DeviceArray,
    ignore: int | None,
) -> None:
    """Through a softmax: write scale / found[1] (p_c Σ_k H[label, k] - H[label, c]) into dx.

    It is 0 where the label is ignored.
    """
    sums = memory.scratch(matrix, matrix.shape[0])
    _sum_rows.over(sums.size * WARP)(matrix, sums)
    _backward.over(dx.size)(
        prob.reshape(-1), label.reshape(-1), matrix, sums, dx.reshape(-1), dx.shape[2],
        float(scale), found, ignored_label(ignore),
    )  # fmt: skip


@inner
def _of_row(i: int, args: Any) -> Any:
    prob, label, matrix, losses, ignore = args
    n, lane = i // WARP, i % WARP
    classes = prob.shape[1]
    number = class_of(label[n], classes, ignore)
    total = 0.0
    if number >= 0:
        for c in range(lane, classes, WARP):
            total -= matrix[number, c] * log(np.maximum(prob[n, c, 0], SMALLEST))
    total = warp_sum(total)
    if lane > 0:
        return 0.0, 0, NONE
    losses[n] = total
    return total, 1 if number >= 0 else 0, n if number == OUTSIDE else NONE


@inner
def _of_place(i: int, args: Any) -> Any:
    prob, label, matrix, losses, ignore = args
    _, classes, width = prob.shape
    n, p = i // width, i % width
    number = class_of(label[i], classes, ignore)
    total = 0.0
    if number >= 0:
        for c in range(classes):
            total -= matrix[number, c] * log(np.maximum(prob[n, c, p], SMALLEST))
    losses[i] = total
    return total, 1 if number >= 0 else 0, i if number == OUTSIDE else NONE


@kernel
def _sum_rows(matrix: F32, sums: F32) -> None:
    row, lane = grid() // WARP, threadIdx.x % WARP
    if row < sums.size:
        total = 0.0
        for c in range(lane, matrix.shape[1], WARP):
            total += matrix[row, c]
        total = warp_sum(total)
        if lane == 0:
            sums[row] = total


@kernel
def _backward(
    prob: F32, label: F32, matrix: F32, sums: F32, dx: F32, width: int,
    scale: float, found: I32, ignore: int,
) -> None:  # fmt: skip
    i = grid()
    if i < dx.size:
        classes = sums.size
        row = i // width
        c = row % classes
        number = class_of(label[row // classes * width + i % width], classes, ignore)
        slope = 0.0
        if number >= 0:
            gain = prob[i] * sums[number] - matrix[number, c]
            slope = scale / np.float32(found[1]) * gain
        dx[i] = slope
