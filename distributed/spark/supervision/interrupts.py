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
from typing import Any


@contextlib.contextmanager
def heard_here_alone(sc: Any) -> Iterator[None]:
    """In a `with` block Ctrl-C raises KeyboardInterrupt in the main thread, and does no more.

    In another thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _deaf_jvm(sc._jvm):
            yield
    finally:
        signal.signal(signal.SIGINT, former)


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
