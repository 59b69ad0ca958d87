"""A Spark job that can be watched and cancelled, and the one line that tells why it failed."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from minicaffe.errors import ClusterError
from minicaffe.machine.signals import Ended
from minicaffe.monitor.waiting import Waiting

from .slots import screen

T = TypeVar("T")

CANCELLING = 15.0  # seconds that Spark may take to end a cancelled job's tasks

LOST = "was lost"

_ERROR = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Interrupt|Exit|Extra|Refused)): (.*)", re.M)
_OWN_ERROR = re.compile(r"^minicaffe\.errors\.\w+: ", re.M)


class Job(Generic[T]):
    """A Spark job in a thread and a job group of its own, so that it can be watched and cancelled.

    `name` stands in the Spark UI as the job's name, `description` beside it.
    """

    def __init__(self, sc: Any, name: str, description: str, work: Callable[[], T]) -> None:
        from pyspark import InheritableThread

        self.sc = sc
        self.group = f"{name} {os.urandom(4).hex()}"
        self._name = name
        self._description = description
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._thread = InheritableThread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.sc.setJobGroup(self.group, self._description, interruptOnCancel=True)
            with _call_site(self.sc, self._name):
                self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long for the end; whether it has come."""
        return self._done.wait(seconds)

    @property
    def error(self) -> BaseException | None:
        """What the work has raised, if it has ended so."""
        return self._error

    def result(self) -> T:
        """What the work gave, when it is done. Raises what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def cancel(self) -> None:
        """End the job's tasks on all executors; they are gone, or so is patience, on return."""
        with contextlib.suppress(Exception):
            self.sc.cancelJobGroup(self.group)
        self._done.wait(CANCELLING)


def run_job(
    sc: Any,
    name: str,
    description: str,
    work: Callable[[], T],
    debug: bool,
    state: Callable[[], str] = str,
) -> T:
    """Run a job and give its result; an interrupt cancels it.

    While it runs, a line says how far it is: `state`, or else its tasks. Raises ClusterError, or
    the minicaffe error of a task, in one line; with `debug` as it comes.
    """
    job = Job(sc, name, description, work)
    try:
        with screen() as stream, contextlib.closing(Waiting(name, stream)) as line:
            while not job.wait(0.2):
                line.show(state() or functools.partial(tasks_done, sc, job.group))
        return job.result()
    except (KeyboardInterrupt, Ended):
        job.cancel()
        raise
    except Exception as error:
        if debug:
            raise
        raise ClusterError(reason_of(error)) from None


def wake_executors(sc: Any, wait: float) -> None:
    """Where Spark starts executors only when there is work, get some with a job of no work.

    Raises ClusterError where none has come within `wait` seconds.
    """
    what = "minicaffe asks for executors"
    job = Job(sc, what, what, sc.parallelize(range(1), 1).count)
    began = time.monotonic()
    with screen() as stream, contextlib.closing(Waiting("waiting for executors", stream)) as line:
        while not job.wait(0.1):
            line.show("Spark starts them when there is work")
            if time.monotonic() - began > wait:
                job.cancel()
                raise ClusterError(
                    f"no executor has come within {wait:.0f} s: see the cluster's log, or wait"
                    " longer (-wait)"
                )
    job.result()


def tasks_done(sc: Any, group: str) -> str:
    """How many tasks of a job group's newest job are done."""
    tracker = sc.statusTracker()
    job = tracker.getJobInfo(max(tracker.getJobIdsForGroup(group), default=-1))
    found = [tracker.getStageInfo(stage) for stage in job.stageIds] if job else []
    stages = [stage for stage in found if stage]
    done, count = (sum(stage.numCompletedTasks for stage in stages),
                   sum(stage.numTasks for stage in stages))  # fmt: skip
    return f"{done} of {count} tasks done" if count else "Spark plans it"


def reason_of(error: BaseException) -> str:
    """The line of a Spark error, many pages long as it is, that tells the cause."""
    text = str(error)
    if "barrier ResultStage" in text or "ExecutorLostFailure" in text:
        lost = re.search(r"ResultTask\(\d+, (\d+)\)", text)
        why = re.search(r"ExecutorLostFailure \(([^\n]*?)\)? Reason: ([^\n]*)", text)
        crashed = "Python worker exited unexpectedly" in text
        who = f"rank {lost.group(1)}" if lost else "a rank"
        if why:
            return f"{who} {LOST} with its executor: {why.group(2).strip()}"
        if crashed and not _OWN_ERROR.search(text):
            return death_of(who)
    found = _OWN_ERROR.search(text)
    if found:
        rest = text[found.end() :]
        return re.split(r"\n\s*\n|\n\s*at |\n\t|\n\s*SQLSTATE: ", rest, maxsplit=1)[0].strip()
    causes = _ERROR.findall(text)
    python = [(kind, message) for kind, message in causes if not kind.startswith("Py4J")]
    if python:
        kind, message = python[-1]
        if kind in ("ImportError", "ModuleNotFoundError"):
            message += " (on an executor: PYSPARK_PYTHON names the Python that runs there)"
        return f"{kind}: {message.strip()}"
    java = re.search(r"^: (?:[\w$]+\.)*[\w$]+: (.*)", text, re.MULTILINE)
    if java:
        return java.group(1).strip()
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def death_of(rank: str) -> str:
    """The line that tells of a rank whose process is gone while its executor lives."""
    return f"{rank} {LOST}: its Python process died"


def is_loss(reason: str) -> bool:
    """Whether `reason_of` tells of a process that is gone, which can say nothing for itself."""
    return LOST in reason


@contextlib.contextmanager
def _call_site(sc: Any, name: str) -> Iterator[None]:
    """Name the jobs that are started inside."""
    from pyspark.traceback_utils import SCCallSiteSync

    with SCCallSiteSync(sc):  # type: ignore[no-untyped-call]
        with contextlib.suppress(Exception):
            sc._jsc.setCallSite(name)
        yield
