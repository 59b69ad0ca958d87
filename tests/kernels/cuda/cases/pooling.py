"""Pooling: windows that overlap, that leave gaps, that the border cuts or that lie outside."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, special

WINDOWS = [  # planes, image, kernel, stride, pad, out
    ((2, 3), (7, 8), (3, 3), (2, 2), (0, 0), (3, 4)),
    ((2, 3), (6, 6), (2, 2), (2, 2), (0, 0), (3, 3)),
    ((1, 2), (5, 7), (3, 2), (1, 2), (1, 0), (5, 4)),
    ((1, 2), (5, 5), (3, 3), (2, 2), (1, 1), (3, 3)),
    ((1, 1), (4, 4), (1, 2), (3, 4), (0, 0), (2, 2)),
    ((1, 1), (2, 9), (1, 1), (1, 4), (0, 0), (2, 4)),
    ((3, 2), (7, 7), (7, 7), (1, 1), (0, 0), (1, 1)),
    ((2, 1), (3, 40), (3, 40), (1, 1), (0, 0), (1, 1)),
    ((1, 3), (18, 35), (5, 17), (5, 9), (2, 3), (4, 4)),
    ((1, 1), (1, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((0, 2), (4, 4), (2, 2), (2, 2), (0, 0), (2, 2)),
]
LOWEST = np.finfo(np.float32).min


def with_ties(*shape: int) -> np.ndarray:
    """Few different numbers."""
    return np.round(normal(*shape))


def maxima(x: np.ndarray, mask: np.ndarray, *window: tuple[int, int]) -> None:
    """Write the place of each window's maximum into mask."""
    for index in np.ndindex(mask.shape):
        top, left = (i * s - p for i, s, p in zip(index[2:], window[1], window[2], strict=True))
        best = LOWEST
        for h in range(max(top, 0), min(top + window[0][0], x.shape[2])):
            for w in range(max(left, 0), min(left + window[0][1], x.shape[3])):
                if x[(*index[:2], h, w)] > best:
                    best, mask[index] = x[(*index[:2], h, w)], h * x.shape[3] + w


CASES = []
for planes, image, *window, out in WINDOWS:
    x, y = (*planes, *image), (*planes, *out)
    values = with_ties(*x)
    mask = np.full(y, -1, np.int32)
    maxima(values, mask, *window)
    CASES += [
        Case("max_forward", values, normal(*y), integers(9, *y), *window),
        Case("max_backward", normal(*y), mask, normal(*x), *window),
        Case("average_forward", normal(*x), normal(*y), *window),
        Case("average_backward", normal(*y), normal(*x), *window),
    ]
for width in (6, 24):  # a thread a window, a warp a window
    shape, out = (1, 4, 3, width), (1, 4, 2, 2)
    window = ((2, width - 2), (1, 2), (0, 0))
    strange = np.stack(
        [special(3, width), np.full((3, width), -np.inf), np.full((3, width), np.nan),
         np.full((3, width), np.inf)]
    ).astype(np.float32)[None]  # fmt: skip
    CASES += [
        Case("max_forward", strange, normal(*out), integers(9, *out), *window),
        Case("average_forward", strange, normal(*out), *window),
        Case("average_backward", special(*out), normal(*shape), *window),
    ]
