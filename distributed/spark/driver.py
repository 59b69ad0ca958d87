"""The driver of a training: one barrier job a generation, watched, and the model at its end.

    Training    one run: its secret, its report
    Generation  one attempt: a barrier stage of `world_size` tasks (a ResultStage: Spark does not
                retry it), and the control port on which the ranks report

A failed generation ends the run; `Training.run` is the place to start the next one from the newest
snapshot.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

from minicaffe.errors import ClusterError, SnapshotError
from minicaffe.machine.whole_file import whole_file

from ..auth import new_secret
from .code import ship_code
from .config import Config
from .control import ControlServer, one_address
from .executor import Answer, train_partition
from .portable import get_places, nets_of
from .preflight import Plan
from .slots import await_slots, driver_addresses, is_local
from .spark_job import Job, death_of, is_loss, reason_of
from .task_input import TrainJob
from .training_report import TrainingReport

PATIENCE = 15.0  # seconds without a rank after which the user is told what Spark waits for
# Seconds in which the ranks' own errors arrive after the job has failed. Spark gives the tasks of a
# failed job 2 seconds to end (spark.python.task.killTimeout) before it kills their processes, which
# then look lost.
GRACE = 1.5


class Training:
    """One run: trains as a Plan says.

    Its `metrics` (minicaffe.monitor.metrics.Metrics) have all rows; `validations` has, for each
    test of the first test net, the iteration and the outputs' means.
    """

    def __init__(self, conf: Config, plan: Plan) -> None:
        self.conf = conf
        self.plan = plan
        self.sc = conf.sc
        self.world_size = conf.clusterSize
        self.run_id = secrets.token_hex(4)
        self.secret = new_secret()
        self.report = TrainingReport(
            plan.stem, plan.start, plan.solver.max_iter, plan.state is not None
        )
        self.metrics = self.report.metrics
        self.validations = self.report.validations

    def run(self) -> Training:
        """Train to the end, write the model, show the table. Raises ClusterError."""
        say = self.report.say
        try:
            if self.conf.solverParameter.random_seed < 0:
                say(f"random_seed: {self.plan.solver.random_seed} (none was given)")
            with self._beacon() as beacon:
                answers = Generation(self, 0, beacon).run()
            self._write_model(answers)
            self.report.end()
            if self.plan.model:
                say(f"model: {self.plan.model}")
            if self.metrics.csv_path:
                say(f"metrics: {self.metrics.csv_path}")
        finally:
            self.report.close()
        return self

    @contextlib.contextmanager
    def _beacon(self) -> Iterator[str]:
        """A file in the snapshots' folder, by which rank 0 recognises it."""
        if not self.plan.snapshot_folder:
            yield ""
            return
        path = os.path.join(self.plan.snapshot_folder, f".minicaffe-{self.run_id}")
        with open(path, "wb"):
            pass
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):  # it has served, and may be gone with its folder
                os.remove(path)

    def _write_model(self, answers: list[Answer]) -> None:
        ends = {content[1:] for kind, content in answers if kind == "end"}
        if len(ends) != 1:
            raise ClusterError(f"the ranks did not end alike, no model is written: {ends}")
        path = self.plan.model
        if not path:
            return
        with whole_file(path, SnapshotError) as beside, open(beside, "wb") as file:
            for kind, content in answers:
                if kind == "model":
                    file.write(content)


class Generation:
    """One attempt to train: a barrier job, watched."""

    def __init__(self, training: Training, number: int, beacon: str) -> None:
        self.training = training
        self.number = number
        self.world_size = training.world_size
        self.report = training.report
        self.report.begin(self.world_size)
        plan, sc = training.plan, training.sc
        await_slots(sc, self.world_size)
        ship_code(sc)
        bind, host = driver_addresses(sc)
        self.server = ControlServer(
            one_address(bind, host), training.run_id, number, training.secret
        )
        self.job = TrainJob(
            solver=plan.solver.SerializeToString(),
            places=get_places(nets_of(plan.solver)),
            files=plan.files,
            code=plan.code,
            weights=plan.weights,
            state=plan.state.SerializeToString() if plan.state else None,
            seed=plan.solver.random_seed,
            world_size=self.world_size,
            run=training.run_id,
            generation=number,
            secret=training.secret,
            scheme=plan.scheme,
            sync=plan.sync,
            device=plan.device,
            control=(host, self.server.address[1]),
            beacon=beacon,
            log_level=_log_levels(sc, self.report.screen.isatty()),
        )

    def run(self) -> list[Answer]:
        """Run the job to its end; what the ranks give back. Raises ClusterError."""
        plan, sc = self.training.plan, self.training.sc
        what = os.path.basename(self.training.conf.protoFile)
        ranks = f"{self.world_size} rank{'s' * (self.world_size > 1)}"

        def work() -> list[Answer]:
            tasks = sc.parallelize(range(self.world_size), self.world_size).barrier()
            body = functools.partial(train_partition, self.job)
            answers: list[Answer] = tasks.mapPartitions(body).collect()
            return answers

        try:
            job = Job(
                sc,
                f"minicaffe train {what}, generation {self.number}",
                f"minicaffe: train {what} on {ranks}, iterations {plan.start} to"
                f" {plan.solver.max_iter}",
                work,
            )
            try:
                return self._watch(job)
            except BaseException:
                job.cancel()
                raise
        finally:
            self.server.close()

    def _watch(self, job: Job[list[Answer]]) -> list[Answer]:
        began, told = time.monotonic(), False
        while not job.wait(0):
            if not self._listen(0.1):
                self.report.tick()
            if not self.report.hosts and not told and time.monotonic() - began > PATIENCE:
                told = True
                self.report.say(
                    "no rank has started yet: Spark waits for free slots, or executors cannot"
                    f" reach the driver at {self.job.control[0]}:{self.job.control[1]}"
                )
        try:
            answers = job.result()
        except Exception as error:
            raise self._explain(error) from (error if self.training.conf.debug else None)
        until = time.monotonic() + GRACE
        while len(self.report.ended) < self.world_size and time.monotonic() < until:
            self._listen(0.1)  # what was said last may arrive after the job's result
        return answers

    def _explain(self, error: Exception) -> ClusterError:
        """The error of the rank that failed first, rather than of those that missed it.

        A process that dies cannot say so; Spark may see it, or hear first from those that missed
        it: then the line that broke off tells which rank it was.
        """
        failed, report = time.monotonic(), self.report
        for rank, heard in list(report.lost.items()):
            if heard < failed - GRACE:  # the line broke, the rank went on
                del report.lost[rank]
        while time.monotonic() < failed + GRACE:
            if report.lost or any(not e["follows"] for e in report.errors):
                break
            self._listen(0.1)
        causes = sorted(report.errors, key=lambda e: bool(e["follows"]))
        reason = reason_of(error)
        if not causes or causes[0]["follows"]:
            if is_loss(reason):
                return ClusterError(reason)
            if report.lost:
                return ClusterError(death_of(f"rank {min(report.lost)}"))
            if not causes:
                return ClusterError(reason)
        cause = causes[0]
        if self.training.conf.debug:
            print(cause["trace"], file=sys.stderr)
        return ClusterError(f"rank {cause['rank']} on {cause['host']}: {cause['message']}")

    def _listen(self, seconds: float) -> bool:
        """Take one message in, if there is one within this time; whether there was."""
        try:
            message = self.server.messages.get(timeout=seconds)
        except queue.Empty:
            return False
        self.report.hear(message)
        return True


def _log_levels(sc: Any, terminal: bool) -> tuple[int, int]:
    """On a cluster every executor has a log of its own; a local rank shares the user's screen."""
    if not is_local(sc):
        return logging.INFO, logging.INFO
    return logging.WARNING if terminal else logging.INFO, logging.WARNING
