"""Log lines in the form of glog, on standard error: what parsers of Caffe's logs read.

I1122 13:01:02.123456  4711 solver.py:239] Iteration 100, loss = 0.21
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


class GlogFormatter(logging.Formatter):
    """Severity, month and day, time, process, file and line, message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        when = datetime.fromtimestamp(record.created).strftime("%m%d %H:%M:%S.%f")
        letter = {"DEBUG": "I", "CRITICAL": "F"}.get(record.levelname, record.levelname[0])
        place = f"{record.filename}:{record.lineno}"
        return f"{letter}{when} {record.process:5d} {place}] {record.getMessage()}"


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)


@contextmanager
def glog() -> Iterator[None]:
    """Send minicaffe's log to standard error while a command runs.

    GLOG_minloglevel is obeyed: 0 information, 1 warnings, 2 errors, 3 nothing but the end.
    """
    log = logging.getLogger("minicaffe")
    former = log.handlers[:], log.level, log.propagate
    handler = _StandardError()
    handler.setFormatter(GlogFormatter())
    lowest = os.environ.get("GLOG_minloglevel", "0")  # noqa: SIM112 (glog's own name)
    log.handlers, log.propagate = [handler], False
    log.setLevel(LEVELS[min(int(lowest), 3)] if lowest.isdecimal() else logging.INFO)
    try:
        yield
    finally:
        log.handlers, log.propagate = former[0], former[2]
        log.setLevel(former[1])
