"""Log lines in the form of glog, on standard error: what parsers of Caffe's logs read.

I1122 13:01:02.123456  4711 solver.py:239] Iteration 100, loss = 0.21
"""

import getpass
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

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


@dataclass(frozen=True)
class Logging:
    """What is logged where, by glog's levels: 0 information, 1 warnings, 2 errors, 3 the end.

    `level`: the least of all; None: what GLOG_minloglevel says. `folder`: where a file of the log
    is written too; "": nowhere. `stderr_level`: the least that standard error shows.
    """

    level: int | None = None
    folder: str = ""
    stderr_level: int = 0


@contextmanager
def glog(how: Logging = Logging()) -> Iterator[None]:
    """Send minicaffe's log to standard error while a command runs, and to a file where one asks.

    GLOG_minloglevel is obeyed, by the processes of this one too.
    """
    log = logging.getLogger("minicaffe")
    former = log.handlers[:], log.level, log.propagate
    screen = _StandardError()
    screen.setLevel(_level(how.stderr_level))
    handlers = [screen, *_files_in(how.folder)]
    for handler in handlers:
        handler.setFormatter(GlogFormatter())
    lowest = os.environ.get("GLOG_minloglevel", "0")  # noqa: SIM112 (glog's own name)
    level = how.level if how.level is not None else int(lowest) if lowest.isdecimal() else 0
    log.handlers, log.propagate = handlers, False
    log.setLevel(_level(level))
    with _variable("GLOG_minloglevel", None if how.level is None else str(level)):
        try:
            yield
        finally:
            log.handlers, log.propagate = former[0], former[2]
            log.setLevel(former[1])
            for handler in handlers:
                handler.close()


def _level(level: int) -> int:
    return LEVELS[min(max(level, 0), 3)]


def _files_in(folder: str) -> list[logging.Handler]:
    """A new file of the log, named as glog names it, and a link minicaffe.INFO to it.

    As in glog, a folder that cannot be written to ends nothing.
    """
    if not folder:
        return []
    try:
        return [_new_file(Path(folder))]
    except OSError as error:
        print(f"no log is written to {folder}: {error.strerror}", file=sys.stderr)
        return []


def _new_file(folder: Path) -> logging.Handler:
    when = datetime.now().strftime("%Y%m%d-%H%M%S")
    host, pid = socket.gethostname(), os.getpid()
    path = folder / f"minicaffe.{host}.{getpass.getuser()}.log.INFO.{when}.{pid}"
    handler = logging.FileHandler(path)
    link = folder / "minicaffe.INFO"
    link.unlink(missing_ok=True)
    link.symlink_to(path.name)
    return handler


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """An environment variable within a `with` block; None leaves it as it is."""
    former = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            if former is not None:
                os.environ[name] = former
