"""Signals that end a process: with a sentence, and from within a kernel that never returns too.

Python runs a signal's handler when compiled code returns to it. A loop without end in a kernel
never does: Ctrl-C then changes nothing, and the process has to be killed from elsewhere. So a
thread hears of every signal as well, from C, and ends the process when the main thread does not.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

PATIENCE = 2.0  # seconds that the main thread has to end
END, ANSWERED = 0, 255  # bytes beside the signals' numbers
_ears: list[int] = []  # where the thread of `ending` hears


class Ended(BaseException):
    """A signal that asks this process to end; nobody but the command catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.status = 128 + number


def enable_faulthandler() -> None:
    """After a crash, say which signal it was and where Python stood."""
    with contextlib.suppress(ValueError, OSError, AttributeError):  # no standard error, or no file
        if not faulthandler.is_enabled():
            faulthandler.enable()


def answered() -> None:
    """Say that a Ctrl-C was heard and does not ask for the end."""
    for ear in _ears:
        os.write(ear, bytes([ANSWERED]))


@contextlib.contextmanager
def ending(patience: float = PATIENCE) -> Iterator[None]:
    """In a `with` block SIGTERM raises `Ended`, and the process ends where that does not help.

    The same holds for a second Ctrl-C, whatever Python does at the first. It is for the main
    thread; in another nothing changes.
    """
    if _ears or threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    former = signal.getsignal(signal.SIGTERM)
    if former is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise)
    _ears.append(writing)
    watch = threading.Thread(
        target=_watch, args=(reading, patience), name="minicaffe-signals", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, former)
        _ears.clear()
        os.write(writing, bytes([END]))
        watch.join()
        os.close(writing)
        os.close(reading)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


def _watch(reading: int, patience: float) -> None:
    """End the process when it has not ended `patience` seconds after a signal that asks for it."""
    interrupts = ends = 0
    wait: float | None = None
    while True:
        heard = select.select([reading], [], [], wait)[0]
        number = os.read(reading, 1)[0] if heard else None
        if number == END:
            return
        if number == ANSWERED:
            interrupts = 0
        elif number == signal.SIGINT:
            interrupts += 1
        elif number is None and not ends:
            _say("interrupted, and still at work; another Ctrl-C ends it")
        elif number is None:
            name = signal.Signals(ends).name
            _say(f"ended by {name}, in the middle of what did not return within {patience:g} s")
            os._exit(128 + ends)
        if number == signal.SIGTERM or interrupts > 1:
            ends = ends or int(number or 0)
        wait = patience if ends or (interrupts and number is not None) else None


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"minicaffe: {text}", file=sys.stderr, flush=True)
