"""Task cross_entropy: the loss of probabilities and of scores, and its gradient."""

import numpy as np
import pytest

from minicaffe.kernels.reference import cross_entropy as ce
from minicaffe.labs.plugin import close, gradient

F32 = np.float32
SMALLEST = float(np.finfo(F32).tiny)


class Arrays:
    """What the functions write into; full of what must not stay."""

    def __init__(self, outer, classes, inner):
        self.prob = np.full((outer, classes, inner), F32("nan"))
        self.losses = np.full((outer, inner), F32("nan"))
        self.loss = np.full(1, F32("nan"))
        self.found = np.full(2, -7, np.int32)

    def forward(self, prob, label, divisor=0, ignore=None, smallest=SMALLEST):
        ce.forward(prob, label, self.losses, self.loss, self.found, smallest, divisor, ignore)
        return self

    def scores(self, x, label, divisor=0, ignore=None, smallest=SMALLEST):
        ce.forward_scores(
            x, label, self.prob, self.losses, self.loss, self.found, smallest, divisor, ignore
        )
        return self


def softmax(x):
    exp = np.exp(np.float64(x) - x.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def test_forward_by_hand():
    prob = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], F32).reshape(2, 3, 1)
    got = Arrays(2, 3, 1).forward(prob, np.array([[0], [2]], F32))
    case = "p = .5 .25 .25 and .1 .8 .1, labels 0 and 2"
    close("losses", got.losses.ravel(), [np.log(2), np.log(10)], case)
    close("loss", got.loss, [(np.log(2) + np.log(10)) / 2], f"{case}: the mean")
    close("found", got.found, [-1, 2], f"{case}: no bad label, two that count")


@pytest.mark.parametrize(
    ("divisor", "ignore", "counted"), [(0, None, 4), (0, 1, 3), (10, None, 10), (10, 1, 10)]
)
def test_divisor_and_ignored_labels(divisor, ignore, counted):
    prob = np.full((2, 2, 2), 0.5, F32)
    label = np.array([[0, 0], [1, 0]], F32)
    got = Arrays(2, 2, 2).forward(prob, label, divisor, ignore)
    case = f"labels 0 0 / 1 0, divisor {divisor}, ignore {ignore}, all p = 0.5"
    losses = np.full((2, 2), np.log(2))
    if ignore is not None:
        losses[1, 0] = 0
    close("losses", got.losses, losses, case)
    close("found", got.found, [-1, counted], case)
    close("loss", got.loss, [losses.sum() / counted], case)


def test_a_probability_of_zero_and_a_label_of_no_class():
    prob = np.array([[0, 1], [0.5, 0.5]], F32).reshape(2, 2, 1)
    got = Arrays(2, 2, 1).forward(prob, np.array([[0], [1]], F32), smallest=1e-10)
    close("losses", got.losses.ravel(), [-np.log(1e-10), np.log(2)],
          "p = 0 for the first label: max(p, smallest), smallest 1e-10")  # fmt: skip
    got = Arrays(2, 2, 1).forward(prob, np.array([[1], [5]], F32))
    close("found", got.found, [1, 1], "labels 1 and 5, two classes: the second is bad, one counts")
    close("losses", got.losses.ravel(), [0, 0], "labels 1 and 5: a bad one has no loss")


@pytest.mark.parametrize("shape", [(3, 4, 1), (2, 5, 6)])
def test_forward_of_scores(shape, rng):
    x = (3 * rng.standard_normal(shape)).astype(F32)
    label = rng.integers(0, shape[1], (shape[0], shape[2])).astype(F32)
    got = Arrays(*shape).scores(x, label, ignore=0)
    prob = softmax(x)
    close("prob", got.prob, prob, f"scores of shape {shape}: their softmax")
    picked = np.take_along_axis(prob, label.astype(int)[:, None], 1)[:, 0]
    losses = np.where(label == 0, 0, -np.log(picked))
    close("losses", got.losses, losses, f"scores of shape {shape}, labels 0 are ignored")
    close("loss", got.loss, [losses.sum() / max(1, (label != 0).sum())], f"shape {shape}")


def test_divisor_and_smallest_reach_the_scores_too():
    x = np.array([[0, 200], [0, 0]], F32).reshape(2, 2, 1)
    got = Arrays(2, 2, 1).scores(x, np.array([[0], [1]], F32), divisor=8, smallest=1e-5)
    close("loss", got.loss, [(-np.log(1e-5) + np.log(2)) / 8],
          "scores 0 200 / 0 0, labels 0 1, divisor 8, smallest 1e-5")  # fmt: skip
    close("found", got.found, [-1, 8], "divisor 8")


def backward(x, label, scale, ignore=None, divisor=0):
    got = Arrays(*x.shape)
    got.prob[...] = softmax(x)
    got.found[...] = [-1, divisor or max(1, int((label != ignore).sum()))]
    dx = np.full(x.shape, F32("nan"))
    ce.backward_scores(got.prob, label, dx, scale, got.found, ignore)
    return dx


def test_backward_by_hand():
    x = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], F32)).reshape(2, 3, 1)
    dx = backward(x, np.array([[0], [2]], F32), 3.0)
    expected = np.array([[-0.5, 0.25, 0.25], [0.1, 0.8, -0.9]]) * 3 / 2
    close("dx", dx[..., 0], expected, "p = .5 .25 .25 and .1 .8 .1, labels 0 2, scale 3, two count")


@pytest.mark.parametrize("shape", [(3, 4, 1), (2, 5, 6)])
@pytest.mark.parametrize("ignore", [None, 1])
def test_backward_is_the_derivative_of_the_loss(shape, ignore, rng):
    x = rng.standard_normal(shape).astype(F32)
    label = rng.integers(0, shape[1], (shape[0], shape[2])).astype(F32)
    valid = np.ones(label.shape, bool) if ignore is None else label != ignore
    dx = backward(x, label, 2.0, ignore)
    expected = softmax(x)
    np.put_along_axis(
        expected, label.astype(int)[:, None],
        np.take_along_axis(expected, label.astype(int)[:, None], 1) - 1, 1,
    )  # fmt: skip
    expected *= 2.0 / max(1, valid.sum()) * valid[:, None]
    gradient("dx", dx, expected, f"scores of shape {shape}, scale 2, ignore {ignore}", atol=1e-5)
