"""Float labels as class numbers, for the losses and Accuracy."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def read_labels(
    label: F32, classes: int, ignore: int | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """Labels truncated to integers: (class of each, which of them count, first bad index or -1).

    A label that is ignored or bad (neither `ignore` nor in 0 .. classes - 1) has class 0 here.
    """
    finite = np.abs(label) < 2.0**31  # false for NaN
    number = np.where(finite, label, -1).astype(np.int64)
    ignored = finite & (number == ignore) if ignore is not None else np.zeros(label.shape, bool)
    valid = finite & (number >= 0) & (number < classes) & ~ignored
    bad = np.flatnonzero(~valid & ~ignored)
    return np.where(valid, number, 0), valid, int(bad[0]) if bad.size else -1


def at_labels(values: F32, number: NDArray[np.int64]) -> F32:
    """What values (outer, classes, ...) hold at the classes (outer, inner) that labels name.

    As np.take_along_axis along axis 1; 0 where there are no classes, so that every label is bad.
    """
    if values.shape[1] == 0:
        return np.zeros((number.shape[0], 1, number.shape[1]), np.float32)
    return np.take_along_axis(values, number[:, None, :], axis=1)
