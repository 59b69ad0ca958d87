"""A function that runs in a process of its own, which may die of it."""

import faulthandler
import os
import pickle
import signal
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba.core.compiler_lock import global_compiler_lock

T = TypeVar("T")


class Died(Exception):
    """The process ended without an answer; the words say how."""


def in_child(run: Callable[[], T]) -> T:
    """What `run` returns in a child of this process, which has all that this one has.

    What the child prints is lost: a compiler that gives up writes pages. Raises Died where it ends
    by a signal or an exception.
    """
    reading, writing = os.pipe()
    with global_compiler_lock, warnings.catch_warnings():
        # The lock: else the child might wait for a thread that it does not have. Python 3.12 warns
        # of that; what else the child does with locks is to ask for memory, which is safe.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _answer(run, writing)
    try:
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            answer = file.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Died(f"signal {signal.Signals(os.WTERMSIG(status)).name}")
    if not answer:
        raise Died(f"exit status {os.waitstatus_to_exitcode(status)}")
    is_well, value = pickle.loads(answer)
    if not is_well:
        raise Died(value)
    found: T = value
    return found


def _answer(run: Callable[[], Any], writing: int) -> None:
    """Write the answer, and end: nothing of the parent's is cleaned up here."""
    try:
        faulthandler.disable()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        try:
            answer = True, run()
        except Exception as error:
            answer = False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        with os.fdopen(writing, "wb") as file:
            file.write(pickle.dumps(answer))
    finally:
        os._exit(0)
