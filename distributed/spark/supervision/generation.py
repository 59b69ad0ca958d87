"""One attempt to train: a barrier job, watched.

The job is a ResultStage, which Spark does not retry. The driver hears from every rank once a second
(heartbeat.py) and of every line that breaks off, and so mostly knows before Spark does.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import sys
import time
from typing import Any, Protocol

from minicaffe.errors import ClusterError
from minicaffe.machine.signals import Ended, answered

from ...ports import read_ports
from ..config import Config
from ..control import ControlServer, one_address
from ..executor import Answer, train_partition
from ..files.desk import FileDesk
from ..live import LivePage
from ..live.places import open_notebook
from ..portable import get_places, nets_of
from ..preflight import Plan
from ..shipping.far_settings import carried
from ..shipping.package_code import ship_code
from ..slots import count_slots, driver_addresses, is_local
from ..spark_job import Job
from ..task_input import TrainJob
from ..training_report import TrainingReport
from .fault import Fault, explain
from .interrupts import Interrupts, heard_here_alone
from .recovery import Snapshots, Start
from .roster import Roster

PATIENCE = 15.0  # seconds without a rank after which the user is told what Spark waits for
GATHERING = 60.0  # seconds in which the others come once a rank is there
# Seconds in which the ranks' own errors arrive after the first sign of a fault. Spark gives the
# tasks of a failed job 2 seconds to end (spark.python.task.killTimeout) before it kills their
# processes, which then look lost.
GRACE = 1.5
FAREWELL = 30.0  # seconds that ranks have to write a snapshot after Ctrl-C
LOOKING = 2.0  # seconds between two looks for slots that have come back


class Run(Protocol):
    """What an attempt needs of the run that it belongs to."""

    conf: Config
    plan: Plan
    sc: Any
    world_size: int  # how many ranks are wanted
    run_id: str
    secret: bytes
    snapshots: Snapshots
    report: TrainingReport
    live: LivePage


class Generation:
    """One attempt to train with so many ranks from a start.

    `ranks` are tasks; with several devices each, `world_size` members make the ring.

    With fewer ranks than the training wants it ends, with a snapshot, when there are slots for all
    again; then `regrows` is true.
    """

    def __init__(self, run: Run, number: int, ranks: int, start: Start, beacon: str) -> None:
        self.of = run
        self.number = number
        self.ranks = ranks
        self.world_size = ranks * run.plan.devices
        self.start = start
        self.regrows = False
        self.report = run.report
        self.report.begin(self.world_size, start.iteration if number else None)
        self.roster = Roster()
        self.group = ""  # the job's, once it has begun
        self._interrupts = Interrupts()
        self._trouble: float | None = None  # when the first sign of a fault was seen
        self._looked = time.monotonic()
        self._told = False  # that no rank has come yet
        plan, sc = run.plan, run.sc
        self._had_slots = count_slots(sc) >= ranks
        ship_code(sc)
        bind, host = driver_addresses(sc)
        files = [*start.weights, *([start.state.file] if start.state else [])]
        desk, ports = FileDesk(files, plan.model), read_ports(run.conf.ports)
        self.server = ControlServer(
            one_address(bind, host), run.run_id, number, run.secret, desk, ports
        )
        self.job = TrainJob(
            solver=plan.solver.SerializeToString(),
            places=get_places(nets_of(plan.solver)),
            files=plan.files,
            code=plan.code,
            weights=start.weights,
            state=start.state,
            seed=plan.solver.random_seed,
            world_size=self.world_size,
            devices=plan.devices,
            run=run.run_id,
            generation=number,
            secret=run.secret,
            scheme=plan.scheme,
            mac=plan.mac,
            crc=plan.crc,
            ports=run.conf.ports,
            sync=plan.sync,
            device=plan.device,
            precision=plan.precision,
            data_threads=run.conf.transform_thread_per_device,
            control=(host, self.server.address[1]),
            model=plan.model,
            beacon=beacon,
            stops_at_nan=run.conf.on_nan == "stop",
            log_level=_log_levels(sc, self.report.screen.isatty()),
        )

    @property
    def reached(self) -> int:
        """The furthest iteration that a rank has told of."""
        ranks = self.roster.ranks.values()
        return max((rank.iteration or 0 for rank in ranks), default=0)

    def run(self) -> list[Answer]:
        """Run the job to its end; what the ranks give back.

        Raises Fault where another attempt may go better, else ClusterError. Ctrl-C and SIGTERM end
        the ranks with a snapshot, where the run writes any, and are raised again.
        """
        plan, sc = self.of.plan, self.of.sc
        what = os.path.basename(self.of.conf.protoFile)
        ranks = f"{self.ranks} rank{'s' * (self.ranks > 1)}"
        if plan.devices > 1:
            ranks += f" with {plan.devices} devices"

        def work() -> list[Answer]:
            tasks = sc.parallelize(range(self.ranks), self.ranks).barrier()
            body = carried(sc, functools.partial(train_partition, self.job))
            answers: list[Answer] = tasks.mapPartitions(body).collect()
            return answers

        try:
            job = Job(
                sc,
                f"minicaffe train {what}, generation {self.number}",
                f"minicaffe: train {what} on {ranks}, iterations {self.start.iteration} to"
                f" {plan.solver.max_iter}{_linked(self.of.live.link)}",
                work,
            )
            self.group = job.group
            try:
                with heard_here_alone(sc) as self._interrupts:
                    return self._watch_interrupted(job)
            except BaseException:
                self.server.close()  # so that the ranks end by themselves, sooner than Spark's way
                job.cancel()
                raise
        finally:
            self.server.close()

    def _watch_interrupted(self, job: Job[list[Answer]]) -> list[Answer]:
        while True:
            try:
                return self._watch(job)
            except (KeyboardInterrupt, Ended) as signal:
                effect = self.of.conf.sigint_effect
                if isinstance(signal, Ended) or effect == "stop":
                    self._say_farewell(job)
                    raise
                answered()
                if effect == "snapshot":
                    self._ask("snapshot")

    def _say_farewell(self, job: Job[list[Answer]]) -> None:
        """Let the ranks end with a snapshot, where the run writes snapshots and they have begun."""
        moving = any(rank.iteration is not None for rank in self.roster.ranks.values())
        if not self.of.plan.snapshot_folder or not moving:
            return
        self.report.say("interrupted: a snapshot is written; another Ctrl-C ends it without")
        self._ask_for_end()
        until = time.monotonic() + FAREWELL
        while not job.wait(0) and time.monotonic() < until:
            self._listen(0.1)
        while self._listen(0):
            pass
        self.report.say(self.of.snapshots.last_words())

    # --- watching ----------------------------------------------------------------------------

    def _watch(self, job: Job[list[Answer]]) -> list[Answer]:
        began = time.monotonic()
        while not job.wait(0):
            if not self._listen(0.1):
                self.report.tick()
            self.of.live.look(self.report, self.roster)
            if not self.roster.ranks and time.monotonic() - began > PATIENCE:
                self._look_for_losses()
            self._look_for_silence()
            self._look_for_slots()
            if self._in_trouble() and not job.wait(0):
                break
        if job.wait(0) and job.error is None:
            self._hear_the_rest(lambda: len(self.report.ended) == self.world_size)
            return job.result()
        raise self._explain(job) from (job.error if self.of.conf.debug else None)

    def _look_for_silence(self) -> None:
        timeout = self.of.conf.timeout
        silent = self.roster.silent(timeout)
        if silent:
            raise Fault(f"{silent} has given no sign of life for {timeout} s")
        ranks = self.roster.ranks.values()
        first = min((rank.came for rank in ranks), default=time.monotonic())
        if len(ranks) < self.world_size and time.monotonic() - first > GATHERING:
            missing = min(set(range(self.world_size)) - self.roster.ranks.keys())
            raise Fault(f"rank {missing} has not come within {GATHERING:.0f} s of the first")

    def _look_for_losses(self) -> None:
        """No rank has come: Spark starts none, and says nothing, where slots were lost."""
        if not self._told:
            self._told = True
            self.report.say(
                "no rank has started yet: Spark waits for free slots, or executors cannot"
                f" reach the driver at {self.job.control[0]}:{self.job.control[1]}"
            )
        if time.monotonic() - self._looked < LOOKING:
            return
        self._looked = time.monotonic()
        slots = count_slots(self.of.sc)
        if slots < self.ranks and self._had_slots:
            raise Fault(f"executors were lost before a rank began: there are slots for {slots}")
        self._had_slots = slots >= self.ranks

    def _in_trouble(self) -> bool:
        """Whether something has gone wrong, and what there is to say about it has been said."""
        if not self.report.lost and not self.report.errors:
            return False
        self._trouble = self._trouble or time.monotonic()
        return time.monotonic() - self._trouble > GRACE

    def _explain(self, job: Job[list[Answer]]) -> Exception:
        """Of the ranks' errors and Spark's the one with which it began."""
        report = self.report
        self._hear_the_rest(
            lambda: bool(report.lost) or any(not each["follows"] for each in report.errors)
        )
        if self.of.conf.debug:
            for each in report.errors:
                print(each["trace"], file=sys.stderr)
        return explain(job.error, report.errors, report.lost, self.roster)

    def _hear_the_rest(self, enough: Any) -> None:
        """Listen on, for a short time, to what was said last."""
        until = time.monotonic() + GRACE
        while not enough() and time.monotonic() < until:
            self._listen(0.1)

    def _listen(self, seconds: float) -> bool:
        """Take one message in, if there is one within this time; whether there was.

        Raises KeyboardInterrupt after a Ctrl-C.
        """
        self._interrupts.check()
        try:
            message = self.server.messages.get(timeout=seconds)
        except queue.Empty:
            return False
        self.roster.hear(message)
        if message["kind"] == "hello" and (differs := self.roster.difference()):
            raise ClusterError(differs)
        if message["kind"] == "snapshot":
            self.of.snapshots.add(message["path"])
        elif message["kind"] not in ("beat", "bye"):
            self.report.hear(message)
        return True

    # --- slots that come back ----------------------------------------------------------------

    def _look_for_slots(self) -> None:
        """With fewer ranks than wanted: end with a snapshot when there are slots for all again."""
        wanted = self.of.world_size
        now = time.monotonic()
        if self.ranks == wanted or self.regrows or now - self._looked < LOOKING:
            return
        if not self.of.plan.snapshot_folder:
            return
        self._looked = now
        begun = all(rank.iteration is not None for rank in self.roster.ranks.values())
        if not begun or len(self.roster.ranks) < self.world_size:
            return
        with contextlib.suppress(Exception):
            self.regrows = count_slots(self.of.sc) >= wanted
        if self.regrows:
            self.report.say(f"there are slots for all {wanted} ranks again: a snapshot is written")
            self._ask_for_end()

    def _ask(self, *what: str) -> None:
        """Ask for something at the end of the iteration: one rank, since the ranks agree on it."""
        self.server.tell(0, "ask", what=what)

    def _ask_for_end(self) -> None:
        solver = self.of.plan.solver
        self._ask("stop", *([] if solver.snapshot_after_train else ["snapshot"]))


def _linked(link: str) -> str:
    """A link in a job's description, which the Spark UI shows as one."""
    return f" (<a href='{link}'>live</a>)" if link else ""


def _log_levels(sc: Any, terminal: bool) -> tuple[int, int]:
    """On a cluster every executor has a log of its own; a local rank shares the user's screen.

    On a terminal, or in a notebook, the course of the training stands there already.
    """
    if not is_local(sc):
        return logging.INFO, logging.INFO
    shown = terminal or open_notebook() is not None
    return logging.WARNING if shown else logging.INFO, logging.WARNING
