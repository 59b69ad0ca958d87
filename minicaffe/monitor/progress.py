"""The progress of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from ..machine.compiling import TEXT
from ..machine.pace import Pace
from .waiting import REDRAWN


class Progress:
    """Shows iteration, loss, learning rate, samples/s, share of communication, time left.

    `total` and `start` are iterations; `stream` is standard error by default. On a terminal one
    line is redrawn; elsewhere `update(..., line=True)` prints one, and what is told in between
    makes a line where nothing was said for some seconds (`pace`).
    """

    def __init__(
        self,
        total: int,
        start: int = 0,
        stream: TextIO | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.total = total
        self.stream = stream or sys.stderr
        self._first: tuple[int, float] | None = None  # iteration and time of the first update
        self._compiles = False
        self._bar: Any = _bar(total, start, self.stream) if self.stream.isatty() else None
        self._pace = pace or (Pace(REDRAWN, steady=True) if self._bar is not None else Pace())

    def update(
        self,
        iteration: int,
        loss: float,
        lr: float,
        samples_per_second: float,
        communication: float,
        *,
        line: bool = False,
    ) -> str:
        """Tell how far it is: `iteration` are done; `communication` is a share, 0 to 1.

        Gives it in words.
        """
        facts = (
            f"loss {loss:.4g}  lr {lr:.4g}  {samples_per_second:.0f} samples/s"
            f"  communication {communication:.0%}"
        )
        if self._bar is not None:
            self._bar.set_description_str(facts, refresh=False)
            self._bar.update(iteration - self._bar.n)
            return facts
        facts = f"iteration {iteration}/{self.total}  {facts}"
        left = self._left(iteration)
        if line or self._pace.due():
            self.write(facts + left)
        return facts

    def compiling(self, count: int, name: str) -> str:
        """Tell that kernels are compiled, `name` now ("": none); gives it in words."""
        text = f"{TEXT}: {count} so far" + (f" ({name})" if name else "")
        if self._bar is not None:
            self._bar.set_description_str(text)
        elif not self._compiles:
            self.write(text)
        else:
            self.under_way(text)
        self._compiles = True
        return text

    def under_way(self, text: str) -> None:
        """Tell what goes on, as often as you like: it is shown where nothing else was of late."""
        if not self._pace.due():
            return
        if self._bar is not None:
            self._bar.set_description_str(text)
            self._pace.said()
        else:
            self.write(text)

    def _left(self, iteration: int) -> str:
        """The time left at the pace since the first update, which had much to wait for."""
        now = time.monotonic()
        if self._first is None or iteration <= self._first[0]:
            self._first = self._first or (iteration, now)
            return ""
        done, spent = iteration - self._first[0], now - self._first[1]
        return f"  {_clock(spent / done * (self.total - iteration))} left"

    def write(self, text: str) -> None:
        """Print a line of its own, above the bar."""
        self._pace.said()
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar(total: int, start: int, stream: TextIO) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=start,
        file=stream,
        dynamic_ncols=True,
        bar_format="{n_fmt}/{total_fmt} |{bar}| {desc}  {remaining} left",
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
