"""The driver of a training: one barrier job a generation, what the ranks say, the model.

    Training    one run: its secret, its metrics, its progress
    Generation  one attempt: a barrier stage of `world_size` tasks (a ResultStage: Spark does not
                retry it), the control port, and what the ranks say there

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
from minicaffe.metrics import Metrics, columns_of
from minicaffe.progress import Progress

from ..auth import new_secret
from .config import Config
from .control import ControlServer, Message
from .executor import Answer, train_partition
from .jobs import TrainJob
from .preflight import Plan
from .session import (
    Job,
    await_slots,
    driver_addresses,
    is_local,
    is_loss,
    reason_of,
    ship_code,
    terminal,
)

log = logging.getLogger("minicaffe.spark")

PATIENCE = 15.0  # seconds without a rank after which the user is told what Spark waits for
GRACE = 2.0  # seconds in which the ranks' own errors arrive after the job has failed


class Training:
    """One run: trains as a Plan says and keeps its course.

    `metrics` has all rows, `validations` a dict of the outputs' values for each test of the first
    test net, with its iteration.
    """

    def __init__(self, conf: Config, plan: Plan) -> None:
        self.conf = conf
        self.plan = plan
        self.sc = conf.sc
        self.world_size = conf.clusterSize
        self.run_id = secrets.token_hex(4)
        self.secret = new_secret()
        self.validations: list[tuple[int, dict[str, float]]] = []
        self.started = time.monotonic()
        resumed = plan.start - 1 if plan.state else None
        stem = plan.stem
        csv, events = (f"{stem}.metrics.csv", f"{stem}.tensorboard") if stem else ("", "")
        self.metrics = Metrics(csv, events, resumed)
        self.screen = terminal() or sys.stderr
        self.progress = Progress(plan.solver.max_iter, plan.start, self.screen)

    def run(self) -> Training:
        """Train to the end, write the model, show the table. Raises ClusterError."""
        if self.conf.solverParameter.random_seed < 0:
            self.progress.write(f"random_seed: {self.plan.solver.random_seed} (none was given)")
        try:
            with self._beacon() as beacon:
                answers = Generation(self, 0, beacon).run()
            self._write_model(answers)
            self.progress.close()
            self._tell_the_end()
        finally:
            self.progress.close()
            self.metrics.close()
            if self.screen is not sys.stderr:
                self.screen.close()
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
            os.remove(path)

    def _write_model(self, answers: list[Answer]) -> None:
        ends = {content[1:] for kind, content in answers if kind == "end"}
        if len(ends) != 1:
            raise ClusterError(f"the ranks did not end alike, no model is written: {ends}")
        path = self.plan.model
        if not path:
            return
        beside = f"{path}.part-{self.run_id}"
        try:
            with open(beside, "wb") as file:
                for kind, content in answers:
                    if kind == "model":
                        file.write(content)
            os.replace(beside, path)
        except OSError as error:
            raise SnapshotError(f"cannot write the model {path}: {error.strerror}") from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(beside)

    def _tell_the_end(self) -> None:
        say = functools.partial(print, file=self.screen, flush=True)
        if self.metrics.rows:
            say(self.metrics.table())
        if self.plan.model:
            say(f"model: {self.plan.model}")
        if self.metrics.csv_path:
            say(f"metrics: {self.metrics.csv_path}")


class Generation:
    """One attempt to train: a barrier job, watched."""

    def __init__(self, training: Training, number: int, beacon: str) -> None:
        self.training = training
        self.number = number
        self.world_size = training.world_size
        self.hosts: dict[int, str] = {}  # of the ranks that have joined
        self.pids: dict[int, int] = {}
        self.errors: list[Message] = []
        self._rows: dict[int, list[Message]] = {}
        plan, sc = training.plan, training.sc
        await_slots(sc, self.world_size)
        ship_code(sc)
        bind, host = driver_addresses(sc)
        self.server = ControlServer(bind, training.run_id, number, training.secret)
        self.job = TrainJob(
            solver=plan.solver.SerializeToString(),
            files=plan.files,
            weights=plan.weights,
            state=plan.state.SerializeToString() if plan.state else None,
            seed=plan.solver.random_seed,
            world_size=self.world_size,
            run=training.run_id,
            generation=number,
            secret=training.secret,
            scheme=plan.scheme,
            control=(host, self.server.address[1]),
            beacon=beacon,
            log_level=_log_levels(sc, training.screen.isatty()),
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
            self._listen(0.1)
            if not self.hosts and not told and time.monotonic() - began > PATIENCE:
                told = True
                self.training.progress.write(
                    "no rank has started yet: Spark waits for free slots, or executors cannot"
                    f" reach the driver at {self.job.control[0]}:{self.job.control[1]}"
                )
        try:
            answers = job.result()
        except Exception as error:
            raise self._explain(error) from (error if self.training.conf.debug else None)
        while self._listen(0.0):
            pass
        return answers

    def _explain(self, error: Exception) -> ClusterError:
        """The error of the rank that failed first, rather than of those that missed it."""
        until = time.monotonic() + GRACE
        while time.monotonic() < until and not any(not e["follows"] for e in self.errors):
            self._listen(0.1)
        causes = sorted(self.errors, key=lambda e: bool(e["follows"]))
        reason = reason_of(error)
        if not causes or (causes[0]["follows"] and is_loss(reason)):
            return ClusterError(reason)
        cause = causes[0]
        if self.training.conf.debug:
            print(cause["trace"], file=sys.stderr)
        return ClusterError(f"rank {cause['rank']} on {cause['host']}: {cause['message']}")

    # --- what the ranks say ------------------------------------------------------------------

    def _listen(self, seconds: float) -> bool:
        """Take one message in, if there is one within this time; whether there was."""
        try:
            message = self.server.messages.get(timeout=seconds) if seconds else None
            message = message or self.server.messages.get_nowait()
        except queue.Empty:
            return False
        handler = getattr(self, f"_hear_{message['kind']}", None)
        if handler is not None:
            handler(message)
        return True

    def _hear_hello(self, message: Message) -> None:
        self.hosts[message["rank"]] = message["host"]
        self.pids[message["rank"]] = message["pid"]
        if len(self.hosts) == self.world_size:
            where = ", ".join(f"{rank} on {self.hosts[rank]}" for rank in sorted(self.hosts))
            self.training.progress.write(f"{self.world_size} ranks: {where}")

    def _hear_tick(self, message: Message) -> None:
        self._show([message], self.world_size, line=False)

    def _hear_row(self, message: Message) -> None:
        """Rows of one iteration, one a rank, make a row of the metrics: their loss is the mean."""
        rows = self._rows.setdefault(message["iteration"], [])
        rows.append(message)
        if len(rows) < self.world_size:
            return
        del self._rows[message["iteration"]]
        rows.sort(key=lambda row: int(row["rank"]))
        if len({row["weights"] for row in rows}) != 1:
            raise ClusterError(
                f"the weights of the ranks differ after iteration {message['iteration']}, which"
                " must not happen: the training is ended"
            )
        values = self._show(rows, 1, line=True)
        self.training.metrics.add("train", message["iteration"], self._seconds(), values)

    def _show(self, rows: list[Message], times: int, line: bool) -> dict[str, float]:
        """Move the progress on to what the rows say (each for so many ranks)."""
        slowest = max(max(row["seconds"] for row in rows), 1e-9)
        waited = sum(row["waited"] for row in rows) / sum(max(row["seconds"], 1e-9) for row in rows)
        values = {
            "loss": sum(row["loss"] for row in rows) / len(rows),
            "learning_rate": rows[0]["lr"],
            "samples_per_second": sum(row["samples"] for row in rows) * times / slowest,
            "communication": waited,
        }
        self.training.progress.update(rows[0]["iteration"] + 1, *values.values(), line=line)
        return values

    def _hear_test(self, message: Message) -> None:
        values: dict[str, float] = message["values"]
        if message["net"] == 0:
            self.training.validations.append((message["iteration"], values))
        phase = f"test{message['net'] or ''}"
        shown = columns_of(values)
        self.training.metrics.add(phase, message["iteration"], self._seconds(), shown)
        facts = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        self.training.progress.write(f"iteration {message['iteration']}, {phase}: {facts}")

    def _hear_bad(self, message: Message) -> None:
        if message["count"]:
            self.training.progress.write(
                f"rank {message['rank']} left out {message['count']} samples that cannot be read:"
                f" {'; '.join(message['samples'][:3])}"
            )

    def _hear_error(self, message: Message) -> None:
        self.errors.append(message)

    def _seconds(self) -> float:
        return time.monotonic() - self.training.started


def _log_levels(sc: Any, terminal: bool) -> tuple[int, int]:
    """On a cluster every executor has a log of its own; a local rank shares the user's screen."""
    if not is_local(sc):
        return logging.INFO, logging.INFO
    return logging.WARNING if terminal else logging.INFO, logging.WARNING
