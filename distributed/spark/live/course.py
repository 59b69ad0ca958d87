"""What a page about a training shows, as plain values: nothing secret is among them."""

from __future__ import annotations

import math
import time
from typing import Any

from ..supervision.roster import Roster
from ..training_report import TrainingReport

MOST = 600  # points of a curve; from there on every other one is dropped

Points = list[tuple[int, float]]


class Course:
    """The course of one training, through all its generations.

    train: (iteration, loss), one a look; tests: the same for each output of the first test net.
    """

    def __init__(self, title: str, max_iter: int) -> None:
        self.title = title
        self.max_iter = max_iter
        self.state = "begins"
        self.running = True
        self.latest: dict[str, float] = {}
        self.ranks: list[dict[str, Any]] = []
        self.train: Points = []
        self.tests: dict[str, Points] = {}
        self.updated = time.time()

    def take(self, report: TrainingReport, roster: Roster) -> None:
        """Take in what is known now."""
        self.updated = time.time()
        self.state = report.state
        self.latest = dict(report.latest)
        self._add_loss()
        self.tests = {}
        for iteration, values in report.validations:
            for name, value in values.items():
                if isinstance(value, int | float) and math.isfinite(value):
                    self.tests.setdefault(name, []).append((iteration, float(value)))
        now = time.monotonic()
        self.ranks = [
            {
                "rank": rank.number,
                "host": rank.host,
                "process": rank.pid,
                "iteration": rank.iteration,
                "doing": "done" if rank.gone else rank.doing or "sets up",
                "silent": round(now - rank.heard, 1),
            }
            for rank in sorted(roster.ranks.values(), key=lambda rank: rank.number)
        ]

    def end(self, how: str) -> None:
        """It is over: how it ended."""
        self.state, self.running, self.updated = how, False, time.time()
        for rank in self.ranks:
            rank["doing"] = "ended"

    def _add_loss(self) -> None:
        iteration, loss = int(self.latest.get("iteration", 0)), self.latest.get("loss", math.nan)
        while self.train and self.train[-1][0] >= iteration:  # from a snapshot once more
            self.train.pop()
        if math.isfinite(loss):
            self.train.append((iteration, loss))
        if len(self.train) > MOST:
            del self.train[1:-1:2]

    def values(self) -> dict[str, Any]:
        """All of it, as JSON has it; what is not finite is null."""
        latest = {
            name: value if math.isfinite(value) else None for name, value in self.latest.items()
        }
        return {
            "title": self.title,
            "state": self.state,
            "running": self.running,
            "updated": self.updated,
            "max_iter": self.max_iter,
            **latest,
            "ranks": self.ranks,
            "train": self.train,
            "tests": self.tests,
        }
