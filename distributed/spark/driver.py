"""The driver of a training: attempts, one after the other, and the model at their end.

    Training    one run: its secret, its report, its snapshots
    Generation  one attempt: a barrier stage of as many tasks as there are ranks

After a fault (supervision/fault.py) the next generation begins from the newest snapshot that the
run has written, or from the run's start: the place in the data is a function of the iteration, so
it makes the same updates again, bit for bit.
"""

from __future__ import annotations

import contextlib
import html
import os
import secrets
from collections.abc import Iterator

from minicaffe.errors import ClusterError
from minicaffe.machine.file_system import is_far
from minicaffe.machine.left_over import clear_left_over, name_beside

from ..auth import new_secret
from .config import Config
from .executor import Answer
from .live import LivePage, copy_of
from .preflight import Plan
from .slots import slots_after_fault
from .supervision.executors import give_up_silent
from .supervision.fault import Fault
from .supervision.generation import Generation
from .supervision.recovery import Snapshots, Start
from .training_report import TrainingReport

BEACON = "minicaffe"  # the name of a file that marks the driver's folder


class Training:
    """One run: trains as a Plan says.

    Its `metrics` (minicaffe.monitor.metrics.Metrics) have all rows; `validations` has, for each
    test of the first test net, the iteration and the outputs' means; `report.recoveries` the
    seconds that each fault has cost.
    """

    def __init__(self, conf: Config, plan: Plan) -> None:
        self.conf = conf
        self.plan = plan
        self.sc = conf.sc
        self.world_size = conf.clusterSize
        self.run_id = secrets.token_hex(4)
        self.secret = new_secret()
        self.snapshots = Snapshots(Start(plan.weights, plan.state))
        self.report = TrainingReport(
            plan.stem, plan.start, plan.solver.max_iter, plan.state is not None
        )
        self.live = LivePage(
            self.sc, f"minicaffe: {os.path.basename(conf.protoFile)}", plan.solver.max_iter,
            copy_of(plan.stem),
        )  # fmt: skip
        self.attempt: Generation | None = None  # the one that runs, or the last
        self.metrics = self.report.metrics
        self.validations = self.report.validations

    def run(self) -> Training:
        """Train to the end, write the model, show the table. Raises ClusterError."""
        say, ending = self.report.say, "interrupted"
        try:
            say(f"live: {self.live.url}")
            if self.conf.solverParameter.random_seed < 0:
                say(f"random_seed: {self.plan.solver.random_seed} (none was given)")
            with self._beacon() as beacon:
                self._supervise(beacon)
            self.report.end()
            if self.plan.model:
                say(f"model: {self.plan.model}")
            if self.metrics.csv_path:
                say(f"metrics: {self.metrics.csv_path}")
            ending = "ended well"
        except Exception as error:
            ending = f"failed: {error}"
            raise
        finally:
            self.live.close(ending)
            self.report.close()
        return self

    def __repr__(self) -> str:
        """What was trained, and the table of its course."""
        return f"{self._words()}\n{self.metrics.table()}"

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        return f"<p>{html.escape(self._words())}</p>\n{self.metrics.html_table()}"

    def _words(self) -> str:
        ranks = f"{self.world_size} rank{'s' * (self.world_size > 1)}"
        name, model = os.path.basename(self.conf.protoFile), self.plan.model or "not kept"
        return f"{name} on {ranks}, {self.plan.solver.max_iter} iterations; the model: {model}"

    def _supervise(self, beacon: str) -> list[Answer]:
        """Attempt after attempt, until one comes to the end; what its ranks give back.

        Raises ClusterError where another one would be of no use: see -maxRestarts and -minRanks.
        """
        number, ranks, start = 0, self.world_size, self.snapshots.newest()
        reached, restarts = start.iteration, 0  # the furthest iteration; faults since it was made
        while True:
            attempt = self.attempt = Generation(self, number, ranks, start, beacon)
            try:
                answers = attempt.run()
                if not attempt.regrows:
                    return answers
            except Fault as fault:
                progress = max(attempt.reached, self.snapshots.newest().iteration)
                restarts = 1 if progress > reached else restarts + 1
                if restarts > self.conf.maxRestarts:
                    raise ClusterError(f"{fault}{self._exhausted(restarts, reached)}") from None
                self.report.broken(f"generation {number}: {fault}")
                reached = max(reached, progress)
                give_up_silent(self.sc, attempt.group, self.report.say)
            number, start = number + 1, self.snapshots.newest()
            ranks = slots_after_fault(
                self.sc, self.world_size, self.conf.minRanks or self.world_size, self.conf.wait
            )
            self._say_next(number, ranks, start)

    def _exhausted(self, restarts: int, reached: int) -> str:
        if not self.conf.maxRestarts:
            return ""
        return (
            f" ({restarts} faults, one after the other, before iteration {reached + 1}:"
            f" -maxRestarts is {self.conf.maxRestarts})"
        )

    def _say_next(self, number: int, ranks: int, start: Start) -> None:
        fewer = f" of {self.world_size}" if ranks < self.world_size else ""
        plural = "s" if max(ranks, self.world_size) > 1 else ""
        self.report.say(
            f"generation {number}: {ranks}{fewer} rank{plural} from {start.words},"
            f" iteration {start.iteration}"
        )

    @contextlib.contextmanager
    def _beacon(self) -> Iterator[str]:
        """A file in the model's and the snapshots' folder, by which rank 0 recognises it."""
        folder = self.plan.snapshot_folder or os.path.dirname(self.plan.model)
        if not folder or is_far(folder):
            yield ""
            return
        clear_left_over(folder, BEACON)
        path = os.path.join(folder, name_beside(BEACON))
        with open(path, "wb"):
            pass
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):  # it has served, and may be gone with its folder
                os.remove(path)
