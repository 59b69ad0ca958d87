"""Fits what the choice between the ways of a convolution reads to times of every way.

A way's time is taken for a sum of counts, each times a figure (`Counts` in choice.py): first by
least squares of the relative errors, with figures that are not negative. But what matters is the
order of two ways where they are close. So the figures are then changed, one by one, as long as that
makes what is chosen faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.kernels.cpu.convolution import choice, figures
from minicaffe.kernels.cpu.convolution.figures import Figures

from .ways import Timed

GRADIENTS = ("direct_weights", "dot_products", "winograd/lines_gradient", "winograd/channels")

F64 = NDArray[np.float64]

STEPS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.4, 2.0)
EACH, ERRORS = 0.3, 0.02  # how much they count beside what is lost of the sum: mean logarithms
HOLD = 0.03  # how much it counts that a figure stays what it was
PICOSECONDS = 1e9  # in a millisecond
HEAD = '''"""What each of the counts of a way of a convolution takes, in picoseconds, by LANES.

`Counts` in choice.py says what is counted: multiplications, tiles begun, and numbers moved, turned
and prepared. `python -m benchmarks.ways --fit` writes the figures of a width of vectors.
"""

Figures = dict[str, tuple[float, ...]]  # of each file, the figure of each count

'''


class Table:
    """All that was timed, as arrays (product, way, ...); where there are fewer ways: none."""

    def __init__(self, timed: Sequence[Timed]) -> None:
        self.kinds = list(figures.FIGURES[16])
        rows = [
            [
                (self.kinds.index(kind), counts, each.times[way])
                for way, kind, counts in each.counted()
                if way in each.times
            ]
            for each in timed
        ]
        rows = [row for row in rows if len(row) > 1]
        shape = len(rows), max(map(len, rows))
        self.times: F64 = np.full(shape, np.inf)
        self.kind = np.zeros(shape, int)
        self.counts: F64 = np.zeros((*shape, len(choice.Counts._fields)))
        self.counts[..., 0] = np.inf
        for i, row in enumerate(rows):
            for j, (kind, counts, took) in enumerate(row):
                self.kind[i, j], self.counts[i, j], self.times[i, j] = kind, counts, took
        self.there = np.isfinite(self.times)
        self.best = self.times.min(axis=1)

    def costs(self, values: F64) -> F64:
        """Milliseconds that the figures (kind, count) give each way; infinite where none is."""
        found: F64 = np.where(
            self.there, (np.where(self.there[..., None], self.counts, 0) * values[self.kind]).sum(2)
            / PICOSECONDS, np.inf,
        )  # fmt: skip
        return found

    def badness(self, values: F64) -> float:
        """What choosing by the figures loses of the sum, a little of what of each product."""
        costs = self.costs(values)
        chosen = self.times[np.arange(len(costs)), costs.argmin(axis=1)]
        near = self.there & (self.times < 2 * self.best[:, None])
        errors = np.abs(np.log(costs[near] / self.times[near]))
        lost = float(chosen.sum() / self.best.sum()) - 1
        return lost + float(EACH * np.log(chosen / self.best).mean() + ERRORS * errors.mean())

    def least_squares(self, values: F64) -> F64:
        """Figures for each kind by the relative errors; those of a kind never timed stay."""
        found = values.copy()
        for kind in range(len(self.kinds)):
            here = self.there & (self.kind == kind)
            if here.any():
                weight = (self.best[:, None] / self.times)[here]
                matrix = self.counts[here] / PICOSECONDS * (weight / self.times[here])[:, None]
                known = np.diag(HOLD / np.maximum(values[kind], 1e-9))[values[kind] > 0]
                target = np.concatenate([weight, np.full(len(known), HOLD)])
                found[kind] = not_negative(np.concatenate([matrix, known]), target)
        return found

    def polish(self, values: F64) -> F64:
        """Change the figures one by one while that helps."""
        best, least = values.copy(), self.badness(values)
        improved = True
        while improved:
            improved = False
            for kind in range(len(self.kinds)):
                for which in (slice(None), *range(best.shape[1])):
                    for step in STEPS:
                        other = best.copy()
                        other[kind, which] *= step
                        if (found := self.badness(other)) < least - 1e-6:
                            best, least, improved = other, found, True
        return best

    def scaled(self, values: F64) -> F64:
        """The same order, with the times right on average.

        Kinds that are never ways for the same product have a scale each: gradients of filters.
        """
        found, costs = values.copy(), self.costs(values)
        gradient = np.isin(self.kinds, GRADIENTS)
        for kinds in (gradient, ~gradient):
            here = self.there & kinds[self.kind] & (self.times < 2 * self.best[:, None])
            if here.any():
                found[kinds] *= np.exp(np.median(np.log(self.times[here] / costs[here])))
        return found


def not_negative(matrix: F64, target: F64) -> F64:
    """The least squares solution with no number below 0: the best of those with some zeros."""
    width = matrix.shape[1]
    best, least = np.zeros(width), np.inf
    columns = [column for column in range(width) if matrix[:, column].any()]
    subsets = (combinations(columns, count) for count in range(1, len(columns) + 1))
    for subset in map(list, chain.from_iterable(subsets)):
        found, *_ = np.linalg.lstsq(matrix[:, subset], target, rcond=None)
        error = float(np.linalg.norm(matrix[:, subset] @ found - target))
        if (found >= 0).all() and error < least:
            best, least = np.zeros(width), error
            best[subset] = found
    return best


def fit(timed: Sequence[Timed], before: Figures) -> Figures:
    """Figures for these times; near those before, where few times speak of them."""
    table = Table(timed)
    values = np.array([before[kind] for kind in table.kinds], float)
    starts = (values, table.least_squares(values))
    values = table.scaled(min(map(table.polish, starts), key=table.badness))
    return {
        kind: tuple(float(f"{value:.3g}") for value in row)
        for kind, row in zip(table.kinds, values, strict=True)
    }


def write(all_figures: dict[int, Figures], path: Path) -> None:
    """Write the file of figures."""
    lines = ["FIGURES: dict[int, Figures] = {"]
    for lanes, of_kinds in all_figures.items():
        lines.append(f"    {lanes}: {{")
        lines += [f'        "{kind}": {tuple(map(float, row))},' for kind, row in of_kinds.items()]
        lines.append("    },")
    path.write_text(HEAD + "\n".join([*lines, "}", ""]), encoding="utf-8")
