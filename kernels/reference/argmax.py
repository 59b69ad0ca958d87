"""ArgMax: largest values along the middle axis of (outer, classes, inner)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, only_values: bool) -> None:
    """Write the k largest into y (outer, planes, k, inner), of equals the larger index first.

    One plane: their indices, or their values with `only_values`. Two planes: indices, values.
    NaN counts as the least.
    """
    backwards = np.where(np.isnan(x), -np.inf, x)[:, ::-1, :]
    order = x.shape[1] - 1 - np.argsort(-backwards, axis=1, kind="stable")[:, : y.shape[2], :]
    if not only_values:
        y[:, 0] = order
    if only_values or y.shape[1] == 2:
        y[:, -1] = np.take_along_axis(x, order, axis=1)
