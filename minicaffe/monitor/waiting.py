"""What is under way, and for how long, while there is nothing else to show."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ..machine.pace import Pace

REDRAWN = 1.0  # seconds between two looks of a line on a terminal


class Waiting:
    """A line such as "Spark starts: 10 s so far": redrawn on a terminal, elsewhere now and then.

    What is done sooner leaves no trace. `stream` is standard error by default.
    """

    def __init__(self, what: str, stream: TextIO | None = None, pace: Pace | None = None) -> None:
        self.what = what
        self.stream = stream or sys.stderr
        terminal = self.stream.isatty()
        self.pace = pace or (Pace(REDRAWN, steady=True) if terminal else Pace())
        self._line: Any = None

    def show(self, state: str | Callable[[], str] = "") -> None:
        """To be called often; `state` says how far the work is, or is asked where that is shown."""
        if not self.pace.due():
            return
        self.pace.said()
        said = state if isinstance(state, str) else state()
        text = f"{self.what}: {said}{', ' if said else ''}{self.pace.seconds:.0f} s so far"
        if not self.stream.isatty():
            print(text, file=self.stream, flush=True)
            return
        if self._line is None:
            from tqdm import tqdm

            self._line = tqdm(
                file=self.stream, bar_format="{desc}", leave=False, dynamic_ncols=True
            )
        self._line.set_description_str(text)

    def close(self) -> None:
        """Leave the terminal's line empty."""
        if self._line is not None:
            self._line.close()
            self._line = None


@contextmanager
def waiting(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """Show that the body of a `with` block is under way, which itself shows nothing."""
    line = Waiting(what, stream)
    over = threading.Event()

    def keep_showing() -> None:
        while not over.wait(REDRAWN / 2):
            line.show()

    thread = threading.Thread(target=keep_showing, name="minicaffe-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        line.close()
