"""Accuracy: of rows and of maps, with ties, labels to ignore and labels that are bad."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, special

CASES = []


def add(score: np.ndarray, label: np.ndarray, top_k: int, ignore: int | None) -> None:
    """A call of each function."""
    outer, classes, inner = score.shape
    hits = integers(2, outer, inner, dtype="float32")
    CASES.extend(
        [
            Case("forward", score, label, normal(outer, inner), normal(1), integers(9, 2), top_k,
                 ignore),
            Case("per_class", hits, label, normal(classes), ignore),
        ]
    )  # fmt: skip


for outer, classes, inner in ((7, 10, 1), (3, 70, 1), (2, 5, 33), (1, 1, 1)):
    for top_k, ignore in ((1, None), (2, 1), (3, 255)):
        label = integers(classes, outer, inner, dtype="float32")
        add(np.round(normal(outer, classes, inner)), label, min(top_k, classes), ignore)

for number in (-1, 5, 2**31, np.nan, np.inf, -0.5):  # in place of a class
    label = integers(4, 6, 1, dtype="float32")
    label[3] = number
    add(normal(6, 4, 1), label, 1, None)
    add(normal(6, 4, 1), label, 1, -1)
label = integers(4, 3, 2, dtype="float32")
add(special(3, 4, 2), label, 2, None)
add(special(6, 4, 1), label.reshape(6, 1), 1, None)
add(normal(3, 4, 2), np.full((3, 2), 7, np.float32), 1, 7)  # none counts
add(normal(0, 4, 1), normal(0, 1), 1, None)
add(normal(700, 2, 3), integers(2, 700, 3, dtype="float32"), 1, None)  # more than a block's
