"""From where the next attempt of a run begins: its newest snapshot that is whole, or its start."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from minicaffe.errors import Error
from minicaffe.solver.newest_snapshot import check_complete
from minicaffe.solver.state_file import load_state, weights_of_state

from ..files.desk import JobFile, job_file
from ..task_input import Resume

log = logging.getLogger("minicaffe.spark")


@dataclass(frozen=True)
class Start:
    """Where an attempt begins: weights, and a state where it goes on from one."""

    weights: tuple[JobFile, ...]
    state: Resume | None
    words: str = "the start"

    @property
    def iteration(self) -> int:
        """The first iteration."""
        return self.state.iter if self.state else 0


class Snapshots:
    """The snapshots that a run has written itself; those of other runs in the folder do not count.

    `first` is where the run began.
    """

    def __init__(self, first: Start) -> None:
        self._first = first
        self._states: list[str] = []

    def add(self, state: str) -> None:
        """A snapshot is whole: the path of its state."""
        self._states.append(state)

    def last_words(self) -> str:
        """How the run may go on after its end."""
        if not self._states:
            return "there is no snapshot of this run"
        return f"to go on: -resume, from {self._states[-1]}"

    def newest(self) -> Start:
        """The newest that can be read and whose parts belong together, or else where it began."""
        while self._states:
            try:
                return read_start(self._states[-1])
            except Error as error:
                log.warning("%s", error)
                self._states.pop()
        return self._first


def read_start(path: str) -> Start:
    """The snapshot of a state's file. Raises SnapshotError or ParseError where it is not whole."""
    check_complete(path)
    state = load_state(path)
    model = weights_of_state(state, path) or ""
    return Start((job_file(model),), Resume(job_file(path), state.iter), f"snapshot {path}")
