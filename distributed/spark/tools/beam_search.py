"""Beam search: the likeliest sentences that a net says word by word, for many pictures at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .vocab import NO_TOKEN, START_END_ID

Floats = NDArray[np.floating]
Words = NDArray[np.int64]
States = list[Floats]  # of a net's recurrent layers, (R, units) each

# (words (R), states) -> log probabilities of the next word (R, V), states after it
Step = Callable[[Words, States], tuple[Floats, States]]


class Said(NamedTuple):
    """A sentence, without its end, and the mean log probability of its words and its end."""

    score: float
    words: list[int]


def beam_search(
    step: Step, states: States, count: int, *, width: int = 1, length: int = 20
) -> list[list[Said]]:
    """For each of `count` pictures, up to `width` sentences, the best first.

    Of all sentences that are one word longer than those kept, the `width` likeliest are kept; one
    that has ended stays as it is. With width 1 that is the greedy way: always the likeliest word.
    A sentence has at most `length` words, its end among them. The rows of `states` and of `step`
    are picture after picture, `width` rows each.
    """
    # N pictures, B sentences of each, R = N B rows, V words
    rows = count * width
    words = np.full(rows, START_END_ID, np.int64)
    said = np.full((rows, 0), NO_TOKEN, np.int64)
    scores = np.full((count, width), -np.inf)  # log probabilities; one sentence to begin with
    scores[:, 0] = 0
    ended = np.zeros(rows, np.bool_)
    for _ in range(length):
        logs, states = step(words, states)
        logs = np.where(ended[:, np.newaxis], -np.inf, logs)  # R x V
        logs[ended, START_END_ID] = 0
        total = (scores.reshape(rows, 1) + logs).reshape(count, -1)  # N x B V
        best = np.argsort(-total, axis=1, kind="stable")[:, :width]
        scores = np.take_along_axis(total, best, axis=1)
        parent, word = np.divmod(best, logs.shape[1])
        parent = (parent + np.arange(count)[:, np.newaxis] * width).reshape(rows)
        words = np.where(ended[parent], NO_TOKEN, word.reshape(rows))
        said = np.concatenate([said[parent], words[:, np.newaxis]], axis=1)
        states = [state[parent] for state in states]
        ended = ended[parent] | (words == START_END_ID)
        words = np.where(ended, START_END_ID, words)
        if ended.all():
            break
    return _ranked(said.reshape(count, width, -1), scores)


def _ranked(said: NDArray[np.int64], scores: NDArray[np.float64]) -> list[list[Said]]:
    """The sentences of each picture by the mean of their words: long ones would else come last."""
    found = []
    for sentences, sums in zip(said, scores, strict=True):
        kept = [
            Said(float(score) / int(np.count_nonzero(ids != NO_TOKEN)),
                 [int(word) for word in ids if word not in (NO_TOKEN, START_END_ID)])
            for ids, score in zip(sentences, sums, strict=True) if np.isfinite(score)
        ]  # fmt: skip
        found.append(sorted(kept, key=lambda each: -each.score))
    return found
