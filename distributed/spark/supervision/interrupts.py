"""Ctrl-C while a job runs: the driver hears of it, and nobody else does anything about it.

PySpark's own handler cancels all jobs at once, and under spark-submit the JVM, which stands in the
same terminal, ends itself. Then there would be no one left to write a snapshot.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interrupts:
    """The Ctrl-Cs that were typed and not yet answered.

    Python raises a KeyboardInterrupt wherever the main thread happens to be: in a finalizer of
    py4j, where an exception is printed and forgotten, it would be lost. So the handler only counts.
    """

    def __init__(self) -> None:
        self._typed = 0

    def check(self) -> None:
        """Raise KeyboardInterrupt where a Ctrl-C waits for an answer."""
        if self._typed:
            self._typed = 0
            raise KeyboardInterrupt

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signal."""
        self._typed += 1


@contextlib.contextmanager
def heard_here_alone(sc: Any) -> Iterator[Interrupts]:
    """In a `with` block a Ctrl-C waits for `check` of what is given, and does no more.

    One that nobody has asked for is raised at the end of the block. In another thread than the main
    one nothing changes.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    former = signal.signal(signal.SIGINT, interrupts.hear)
    try:
        with _deaf_jvm(sc._jvm):
            yield interrupts
    finally:
        signal.signal(signal.SIGINT, former)
    interrupts.check()


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """In a `with` block py4j does not log a traceback of a Ctrl-C that meets it at its work.

    The interrupt is raised all the same, and who has called for the work tells of it.
    """
    root = logging.getLogger()  # py4j's own choice
    root.addFilter(_is_no_interrupt)
    try:
        yield
    finally:
        root.removeFilter(_is_no_interrupt)


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    kind = record.exc_info[0] if record.exc_info else None
    return not (kind is KeyboardInterrupt and record.module == "java_gateway")


@contextlib.contextmanager
def _deaf_jvm(jvm: Any) -> Iterator[None]:
    """The JVM ignores SIGINT; one that pyspark has started does so anyway."""
    former = None
    with contextlib.suppress(Exception):  # a JVM without this class, or that leaves signals alone
        interrupt = jvm.sun.misc.Signal("INT")
        former = jvm.sun.misc.Signal.handle(interrupt, jvm.sun.misc.SignalHandler.SIG_IGN)
    try:
        yield
    finally:
        if former is not None:
            with contextlib.suppress(Exception):
                jvm.sun.misc.Signal.handle(interrupt, former)
