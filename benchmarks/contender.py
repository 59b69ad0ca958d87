"""A contender as the comparison sees it: a process that works only when it is told to."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .cases import Arrays, Case, Unsupported
from .environment import environment
from .peers import PEERS, Sample


class Failed(Exception):
    """A contender broke down; says how."""


class Contender:
    """One contender at a number of threads."""

    def __init__(self, key: str, threads: int, folder: Path) -> None:
        self.key, self.threads, self.folder = key, threads, folder
        self.name = PEERS[key].name
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe: Connection | None = None

    def _start(self) -> Connection:
        here, there = Pipe()
        descriptor = there.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", self.key, str(self.threads),
             str(descriptor)],
            pass_fds=[descriptor],
            env=environment(PEERS[self.key], self.threads, self.folder),
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        there.close()
        self.pipe = here
        return here

    def _ask(self, verb: str, *arguments: Any) -> Any:
        pipe = self.pipe or self._start()
        try:
            pipe.send((verb, arguments))
            state, result = pipe.recv()
        except (EOFError, OSError):
            self.close()
            raise Failed("its process died") from None
        if state == "unsupported":
            raise Unsupported(result)
        if state == "failed":
            raise Failed(result)
        return result

    def describe(self) -> str:
        """Versions."""
        return str(self._ask("describe"))

    def prepare(self, case: Case, path: Path) -> str:
        """Make a case ready from the arrays in a file; the contender's note about it."""
        return str(self._ask("prepare", case, str(path)))

    def results(self) -> Arrays:
        """The numbers of the case."""
        found: Arrays = self._ask("results")
        return found

    def warm_up(self, seconds: float) -> float:
        """Warm up and fix the calls of a turn; seconds of a call."""
        return float(self._ask("warm_up", seconds))

    def turn(self) -> Sample:
        """Time one turn."""
        sample: Sample = self._ask("turn")
        return sample

    def drop(self) -> None:
        """Give up the case."""
        if self.pipe is not None:
            self._ask("drop")

    def close(self) -> None:
        """End the process."""
        if self.pipe is not None:
            self.pipe.close()
        if self.process is not None:
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.pipe = self.process = None
