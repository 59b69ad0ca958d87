"""The report of a job without ranks, from what its tasks say: samples, compilations, bad samples.

A task calls the driver as a rank does, and does its work without a word where it cannot: a frame
of features may be computed again when nobody listens any more.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import time
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from minicaffe.errors import ClusterError, CommunicationError
from minicaffe.machine.compiling import TEXT

from ..auth import new_secret
from ..driver_call import Call
from ..ports import ANY
from .control import ControlLine, ControlServer, Desk, Message, compilations_told, one_address
from .slots import driver_addresses

log = logging.getLogger("minicaffe.spark")

PATIENCE = 5.0  # seconds in which a task reaches the driver, or goes on without
TICK = 0.25  # seconds between two messages of a task
NAMED = 10  # reasons why samples are left out that are told; the others are counted


class ForwardReport:
    """The driver's end. `call` goes to the tasks; None where the driver has no address for them.

    `total` is how many samples there are, as soon as the driver knows.
    """

    def __init__(self, sc: Any, desk: Desk | None = None, ports: range = ANY) -> None:
        self.call: Call | None = None
        self.total = 0
        self._samples: dict[int, int] = {}  # by task
        self._compiling: dict[int, str] = {}
        self._server: ControlServer | None = None
        run, secret = secrets.token_hex(4), new_secret()
        bind, host = driver_addresses(sc)
        with contextlib.suppress(CommunicationError):
            self._server = ControlServer(one_address(bind, host), run, 0, secret, desk, ports)
            self.call = Call((host, self._server.address[1]), run, 0, secret)

    def state(self) -> str:
        """How far the tasks are; "" where none has said anything. To be asked often."""
        with contextlib.suppress(queue.Empty):
            while self._server is not None:
                self.hear(self._server.messages.get_nowait())
        if self._compiling:
            return next(iter(self._compiling.values()))
        done = sum(self._samples.values())
        return f"{done} of {self.total} samples" if done and self.total else ""

    def hear(self, message: Message) -> None:
        """Take one message in."""
        task = message["rank"]
        if message["kind"] == "samples":
            self._samples[task] = message["count"]
        if message["kind"] == "compiling" and message["name"]:
            self._compiling[task] = f"{TEXT}: {message['count']} so far ({message['name']})"
        else:
            self._compiling.pop(task, None)

    def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()


class TaskLine:
    """A task's end: tells how many samples are done."""

    def __init__(self, line: ControlLine | None) -> None:
        self._line = line
        self._samples = 0
        self._told = 0.0

    def done(self, samples: int) -> None:
        """So many more are done."""
        self._samples += samples
        now = time.monotonic()
        if self._line is not None and now - self._told >= TICK:
            self._line.say("samples", count=self._samples)
            self._told = now

    def close(self) -> None:
        """Tell the last of it and hang up."""
        if self._line is not None:
            self._line.say("samples", count=self._samples)
            self._line.close()


@contextlib.contextmanager
def calling(call: Call | None, task: int) -> Iterator[TaskLine]:
    """The line of a task to its driver, who hears of compilations too."""
    line: ControlLine | None = None
    with contextlib.suppress(ClusterError):
        if call is not None:
            line = ControlLine(call.address, call.run, 0, call.secret, task, PATIENCE)
    with contextlib.closing(TaskLine(line)) as told:
        if line is None:
            yield told
            return
        with compilations_told(line):
            yield told


# --- what tasks leave out ------------------------------------------------------------------------


def left_out(sc: Any) -> Any:
    """An accumulator to whose dict (what names a sample -> the reason) tasks add their own.

    `.value` has it after the job. A sample counts once, however often its task is run.
    """
    from pyspark.accumulators import AccumulatorParam

    class Union(AccumulatorParam[dict[Hashable, str]]):
        def zero(self, value: dict[Hashable, str]) -> dict[Hashable, str]:
            return {}

        def addInPlace(
            self, one: dict[Hashable, str], other: dict[Hashable, str]
        ) -> dict[Hashable, str]:
            return one | other

    return sc.accumulator({}, Union())


def tell(bad: Mapping[Any, str], what: str = "samples") -> None:
    """Warn of what was left out: the first reasons, and how many there are."""
    for reason in list(bad.values())[:NAMED]:
        log.warning("left out: %s", reason)
    if bad:
        log.warning("%d %s cannot be read and were left out", len(bad), what)
