"""What pycaffe says about the process: its log, its rank, a clock."""

import logging
import time

from .. import context
from ..device import synchronize
from ..errors import Error

LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Show minicaffe's log on standard error in glog's form; silent before.

    `level`: 0 information, 1 warnings, 2 errors, 3 nothing. `stderr=False`: errors only (glog would
    write files).
    """
    from ..monitor.glog import GlogFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(GlogFormatter())
    logger = logging.getLogger("minicaffe")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[min(max(level, 0 if stderr else 2), 3)])


def log(message: str) -> None:
    """Write a line to the log."""
    logging.getLogger("minicaffe").info("%s", message, stacklevel=2)


def solver_count() -> int:
    """How many ranks train together; data layers of this thread share the samples with them."""
    return context.current().solver_count


def set_solver_count(count: int) -> None:
    """Say how many ranks train together, for nets built from now on in this thread."""
    context.current().solver_count = count


def solver_rank() -> int:
    """Which of them this thread is, from 0."""
    return context.current().solver_rank


def set_solver_rank(rank: int) -> None:
    """Say which rank this thread is, for nets and solvers built from now on."""
    context.current().solver_rank = rank


def set_multiprocess(multiprocess: bool) -> None:
    """Nothing is to be done: a rank is a thread or a process, and its layers need not know."""


def has_nccl() -> bool:
    """False: ranks speak through `minicaffe.distributed`."""
    return False


class NCCL:
    """The name alone, for scripts that import it; there is none. Raises Error where it is used."""

    def __init__(self, *args: object) -> None:
        raise Error("there is no NCCL here: ranks are joined by minicaffe.distributed")

    @staticmethod
    def new_uid() -> str:
        """Raise Error."""
        raise Error("there is no NCCL here: ranks are joined by minicaffe.distributed")


class Timer:
    """Wall-clock time between `start()` and `stop()`, in milliseconds: `ms`."""

    def __init__(self) -> None:
        self.ms = 0.0
        self._started = time.perf_counter()

    def start(self) -> None:
        """Begin anew."""
        synchronize(context.current().device)
        self._started = time.perf_counter()

    def stop(self) -> None:
        """End, when the device is done; `ms` holds the time since `start`."""
        synchronize(context.current().device)
        self.ms = 1000 * (time.perf_counter() - self._started)
