"""What a step is, and how steps are checked and timed.

A step is one way to do the same work. All steps of a lesson get the same arrays. Each is checked
against NumPy's numbers first; then all are timed in turns, as `benchmarks/measure.py` does it: in
each round every step has a turn, and its figure is the median of its turns. On one thread that is
processor time, which other processes disturb little; on several threads it is wall time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Plan, Result, relative_error, time_all
from benchmarks.peers import Sample, Work
from benchmarks.roofline import peak
from minicaffe.machine.threads import set_num_threads

F32 = NDArray[np.float32]

BOUND = 1e-4  # the relative error by the 2-norm that is allowed
LINE = 16  # floats of a cache line


@dataclass(frozen=True)
class Problem:
    """Arrays to work on, what must come out, and the floating point operations of it."""

    inputs: tuple[F32, ...]
    expected: F32
    flops: int


@dataclass(frozen=True)
class Step:
    """A function of (inputs..., output), whose docstring says what is new in it, and its costs."""

    name: str
    run: Callable[..., None]
    threads: int = 1
    tiny: bool = False  # timed on a tiny problem; the time is scaled by the operations

    @property
    def text(self) -> str:
        """The docstring."""
        return inspect.getdoc(self.run) or ""


@dataclass
class Row:
    """A step's figures."""

    step: Step
    seconds: float
    flops: int
    peak: float  # operations a second of the step's threads
    error: float

    @property
    def speed(self) -> float:
        """Operations a second."""
        return self.flops / self.seconds


class Wrong(Exception):
    """A step gave other numbers than NumPy."""


@dataclass
class Running(Work):
    """A step made ready; the verbs are those of a contender of benchmarks/measure.py."""

    step: Step
    problem: Problem
    calls: int = 1
    output: F32 = field(init=False)

    def __post_init__(self) -> None:
        self.output = aligned(np.full_like(self.problem.expected, np.nan))
        self.key, self.threads = self.step.name, self.step.threads
        self.call = lambda: self.step.run(*self.problem.inputs, self.output)

    def results(self) -> dict[str, F32]:
        """Do the work, and return what came out."""
        set_num_threads(self.threads)
        self.call()
        return {"output": self.output}

    def error(self) -> float:
        """The relative error of the step's numbers; raises Wrong where it is too large."""
        error = relative_error(self.results()["output"], self.problem.expected)
        if not error <= BOUND:
            raise Wrong(f"{self.key}: wrong numbers, off by {error:.1e}")
        return error

    def warm_up(self, seconds: float) -> float:
        """Choose how many calls fill a turn; seconds of a call."""
        took = self.turn().wall
        self.calls = max(1, math.ceil(seconds / took))
        return took

    def turn(self) -> Sample:
        """Time the calls of a turn."""
        set_num_threads(self.threads)
        return self.run(self.calls)


def measure(steps: Sequence[Step], problem: Problem, tiny: Problem, plan: Plan) -> list[Row]:
    """Check all steps, then time them in interleaved rounds. Raises Wrong."""
    running = [Running(step, tiny if step.tiny else problem) for step in steps]
    errors = [each.error() for each in running]
    peaks = {threads: peak(threads) for threads in {step.threads for step in steps}}
    results = {step.name: Result() for step in steps}
    time_all(running, results, plan)  # type: ignore[arg-type]
    rows = []
    for each, error in zip(running, errors, strict=True):
        seconds = results[each.key].median("cpu" if each.threads == 1 else "wall")
        assert seconds is not None
        scaled = seconds * problem.flops / each.problem.flops
        rows.append(Row(each.step, scaled, problem.flops, peaks[each.threads], error))
    return rows


def aligned(array: F32) -> F32:
    """A copy that begins at a cache line: then no vector of 32 bytes lies across two lines."""
    memory = np.empty(array.size + LINE, np.float32)
    start = -(memory.ctypes.data // 4) % LINE
    copy = memory[start : start + array.size].reshape(array.shape)
    copy[...] = array
    return copy


@lru_cache(maxsize=32)
def scratch(name: str, size: int) -> F32:
    """Memory of a step's own. It is kept, because memory fresh from the system costs time."""
    return aligned(np.zeros(size, np.float32))


def whole(count: int, step: int) -> int:
    """The least multiple of `step` that is not below `count`."""
    return -(-count // step) * step
