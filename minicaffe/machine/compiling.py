"""What a user sees while kernels are compiled: a line on a terminal, one line in the log elsewhere.

The kernels of a device tell `compiling` when they begin and end; it counts, and shows.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from .pace import Pace

log = logging.getLogger("minicaffe.kernels")

TEXT = "compiling kernels for this machine, once"


class Compiling:
    """The compilations of this process: `count` functions in `seconds`.

    While `visible`, the terminal shows a line from the beginning of a compilation to its end, and
    nothing in between; where standard error is no terminal, the log says so now and then.
    GLOG_minloglevel above 0 silences both. `tell`, where there is one, is called with the count and
    the function that is compiled, "" at the end: a rank tells its driver.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.count = 0
        self.seconds = 0.0
        self.visible = True
        self.tell: Callable[[int, str], None] | None = None
        self._stream = stream
        self._under_way: list[str] = []  # a function's compilation includes those that it calls
        self._since = 0.0
        self._pace: Pace | None = None  # since the log said it for the first time
        self._lock = threading.RLock()

    def begins(self, name: str) -> None:
        """A function is not in the cache, and is compiled now."""
        with self._lock:
            if not self._under_way:
                self._since = time.perf_counter()
            self._under_way.append(name)
            self._show()

    def ends(self, name: str) -> None:
        """Its code is ready; what began after it and did not end has failed."""
        with self._lock:
            self.count += 1
            if name in self._under_way:
                del self._under_way[self._under_way.index(name) :]
            if not self._under_way:
                self.seconds += time.perf_counter() - self._since
            self._show()

    def _show(self) -> None:
        if self.tell is not None:
            self.tell(self.count, self._under_way[0] if self._under_way else "")
        stream = self._stream or sys.stderr
        if not self.visible or os.environ.get("GLOG_minloglevel", "0") != "0":  # noqa: SIM112
            return
        if not stream.isatty():
            if self._pace is None:
                log.info("%s; `minicaffe warmup` does it beforehand", TEXT.capitalize())
                self._pace = Pace()
            elif self.tell is None and self._under_way and self._pace.due():
                log.info("%s: %d so far (%s)", TEXT.capitalize(), self.count, self._under_way[0])
                self._pace.said()
            return
        line = ""
        if self._under_way:
            line = f"{TEXT}: {self.count} so far ({self._under_way[0]})"[:79]
        stream.write(f"\r\x1b[K{line}")
        stream.flush()


compiling = Compiling()
