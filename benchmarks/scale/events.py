"""A discrete-event simulator: a heap of moments, and processes that are generators.

A process yields what it waits for, a number of seconds or a `Signal`, and is resumed when that is
over. What happens at the same moment happens in the order in which it was asked for, so a
simulation gives the same figures every time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush


class Signal:
    """Something that happens once; whoever yields it goes on when it has happened."""

    __slots__ = ("happened", "value", "waiting")

    def __init__(self) -> None:
        self.happened = False
        self.value = 0.0
        self.waiting: list[Callable[[], None]] = []

    def fire(self) -> None:
        """It happens now, and who waits goes on at once."""
        self.happened = True
        waiting, self.waiting = self.waiting, []
        for resume in waiting:
            resume()


Process = Generator[float | Signal, None, None]


class Simulation:
    """The clock, in seconds, and what is to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._alive = 0

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Have something called at a moment."""
        heappush(self._coming, (moment, next(self._number), call))

    def start(self, process: Process) -> Signal:
        """Let a process run from now on; the signal is its end."""
        end = Signal()
        self._alive += 1

        def resume() -> None:
            for wanted in process:
                if isinstance(wanted, Signal):
                    if not wanted.happened:
                        wanted.waiting.append(resume)
                        return
                elif wanted > 0:
                    self.at(self.now + wanted, resume)
                    return
            self._alive -= 1
            end.fire()

        self.at(self.now, resume)
        return end

    def run(self) -> float:
        """Run until nothing is to come; returns the time. Raises RuntimeError for a deadlock."""
        while self._coming:
            self.now, _, call = heappop(self._coming)
            call()
        if self._alive:
            raise RuntimeError(f"{self._alive} processes wait for what never happens")
        return self.now


class Mailbox:
    """Numbers that have arrived and nobody has taken, or who waits for them, in order."""

    def __init__(self) -> None:
        self._lying: deque[float] = deque()
        self._waiting: deque[Signal] = deque()

    def put(self, value: float) -> None:
        """A number arrives."""
        if self._waiting:
            signal = self._waiting.popleft()
            signal.value = value
            signal.fire()
        else:
            self._lying.append(value)

    def take(self) -> Signal:
        """The signal that the next number is here; then it is its `value`."""
        signal = Signal()
        if self._lying:
            signal.value = self._lying.popleft()
            signal.happened = True
        else:
            self._waiting.append(signal)
        return signal
