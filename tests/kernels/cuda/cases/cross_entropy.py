"""Cross-entropy, of probabilities and of scores."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, positive, special

TINY, SMALL = float(np.finfo(np.float32).tiny), 1e-20


def results() -> tuple[np.ndarray, np.ndarray]:
    """Where a loss goes, and what was found."""
    return normal(1), integers(9, 2)


def labels(classes: int, *shape: int) -> np.ndarray:
    """Labels, some of which have a fraction."""
    return integers(classes, *shape, dtype="float32") + 0.5 * integers(2, *shape, dtype="float32")


def with_bad(*values: float) -> np.ndarray:
    """Labels 1, but for those from the third on."""
    label = np.ones((4, 3), np.float32)
    label.reshape(-1)[2 : 2 + len(values)] = values
    return label


found = np.array([-1, 7], np.int32)
odd = special(2, 3, 5)
CASES = [
    # many labels are the work of several blocks
    Case("forward", positive(3, 2, 1500), labels(2, 3, 1500), normal(3, 1500), *results(), SMALL,
         0, None),
    Case("forward", odd, labels(3, 2, 5), normal(2, 5), *results(), SMALL, 7, None),
    Case("forward", np.zeros((2, 3, 1), np.float32), labels(3, 2, 1), normal(2, 1), *results(),
         TINY, 1, None),
    Case("forward", normal(2, 0, 3), labels(3, 2, 3), normal(2, 3), *results(), TINY, 0, None),
    Case("forward", normal(0, 3, 1), normal(0, 1), normal(0, 1), *results(), TINY, 0, 1),
    # all ignored: the divisor is 1
    Case("forward", positive(2, 3, 1), np.full((2, 1), 255, np.float32), normal(2, 1), *results(),
         TINY, 0, 255),
    Case("backward_scores", positive(5, 10, 1), labels(10, 5, 1), normal(5, 10, 1), 0.7, found,
         None),
    Case("backward_scores", positive(2, 3, 33), labels(3, 2, 33), normal(2, 3, 33), -2, found, 2),
    Case("backward_scores", odd, labels(3, 2, 5), normal(2, 3, 5), 1, found, None),
    Case("backward_prob", positive(5, 10, 1), labels(10, 5, 1), normal(5, 10, 1), 0.7, SMALL),
    Case("backward_prob", odd, labels(3, 2, 5), normal(2, 3, 5), 1, SMALL),
]  # fmt: skip
for bad in ((3.0,), (-1.0, 4.0), (np.nan,), (np.inf,), (-np.inf,), (2.0**31,), (-0.9, 2.9), (1e9,)):
    prob = positive(4, 3, 3)
    CASES.append(Case("forward", prob, with_bad(*bad), normal(4, 3), *results(), TINY, 0, 1))
for shape in ((64, 10, 1), (5, 33, 1), (1, 1, 1), (2, 5, 33)):
    outer, classes, inner = shape
    CASES.append(
        Case("forward_scores", 5 * normal(*shape), labels(classes, outer, inner), normal(*shape),
             normal(outer, inner), *results(), TINY, 0, None)
    )  # fmt: skip
