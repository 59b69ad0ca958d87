"""A contender's process: makes cases ready and times calls, at the word of `contender.py`."""

from __future__ import annotations

import importlib
import logging
import math
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .cases import Arrays, Case, Unsupported
from .peers import PEERS, Sample, Work

WARM_UP = 0.05  # seconds at least


class Worker:
    """The verbs that a contender knows; each answer goes back over the pipe."""

    def __init__(self, key: str, threads: int) -> None:
        self.peer, self.threads = PEERS[key], threads
        self.module = importlib.import_module(f"{__package__}.peers.{self.peer.module}")
        self.work: Work | None = None
        self.calls = 1

    def describe(self) -> str:
        """Versions."""
        return str(self.module.describe(self.peer))

    def prepare(self, case: Case, path: str) -> str:
        """Make a case ready; the contender's note about it."""
        self.work = None  # its memory first
        with np.load(path) as file:
            arrays: Arrays = dict(file)
        self.work = self.module.prepare(case, arrays, self.peer, self.threads)
        return self.ready.note

    @property
    def ready(self) -> Work:
        """The case made ready."""
        assert self.work is not None
        return self.work

    def results(self) -> Arrays:
        """The numbers."""
        return self.ready.results()

    def warm_up(self, seconds: float) -> float:
        """Run until caches and clocks are warm, choose how many calls last `seconds`.

        Returns the seconds of a call.
        """
        started = time.perf_counter()
        best = self.ready.run(1).wall
        while time.perf_counter() - started < WARM_UP:
            best = min(best, self.ready.run(1).wall)
        self.calls = max(1, math.ceil(seconds / best)) if best < seconds else 1
        return best

    def turn(self) -> Sample:
        """Time the calls of a turn."""
        return self.ready.run(self.calls)

    def drop(self) -> None:
        """Give up the case and its memory."""
        self.work = None


def main(key: str, threads: str, descriptor: str) -> None:
    """Answer until the pipe closes."""
    logging.getLogger("minicaffe").setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
    pipe = Connection(int(descriptor))
    worker = Worker(key, int(threads))
    while True:
        try:
            verb, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(worker, verb, arguments))


def answer(worker: Worker, verb: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """("done", result), ("unsupported", why) or ("failed", why)."""
    try:
        return "done", getattr(worker, verb)(*arguments)
    except Unsupported as error:
        return "unsupported", str(error)
    except Exception as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(*sys.argv[1:])
