"""The report of a training, from what its ranks say: metrics, progress, errors."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from minicaffe.errors import ClusterError
from minicaffe.monitor.metrics import Metrics, columns_of
from minicaffe.monitor.progress import Progress

from .control import Message
from .slots import terminal

NO_NEWS = "  no news"


class TrainingReport:
    """Takes in what the ranks say; one for a run, through all its generations.

    `metrics` and `validations` (iteration and outputs' means of each test of the first test net)
    keep it all; `hosts`, `pids`, `errors` and `lost` are of the generation that runs.
    """

    def __init__(self, stem: str, start: int, max_iter: int, resumed: bool) -> None:
        csv, events = (f"{stem}.metrics.csv", f"{stem}.tensorboard") if stem else ("", "")
        self.metrics = Metrics(csv, events, start - 1 if resumed else None)
        self.validations: list[tuple[int, dict[str, float]]] = []
        self.screen: TextIO = terminal() or sys.stderr
        self.progress = Progress(max_iter, start, self.screen)
        self.started = time.monotonic()
        self.latest: dict[str, float] = {}  # of the newest news: iteration, loss, rate ...
        self.recoveries: list[float] = []  # seconds from each fault to the next iteration
        self._broken: float | None = None  # when a fault was noticed after which none was made yet
        self.begin(0)

    def begin(self, world_size: int, start: int | None = None) -> None:
        """A generation of so many ranks begins; with `start` at this iteration once more."""
        self.world_size = world_size
        if start is not None:
            self.metrics.rewind(start - 1)
            self.validations[:] = [each for each in self.validations if each[0] < start]
        self.hosts: dict[int, str] = {}
        self.joined: set[int] = set()  # ranks that are in the ring
        self.errors: list[Message] = []
        self.lost: set[int] = set()  # ranks whose lines broke off
        self.ended: set[int] = set()
        self.diverged = False
        self._state = self._waited_for()
        self._heard = time.monotonic()
        self._rows: dict[int, list[Message]] = {}
        self._compiled: dict[int, int] = {}  # how many functions a rank has compiled

    def hear(self, message: Message) -> None:
        """Take one message in. Raises ClusterError when ranks contradict each other."""
        listeners = {
            "hello": self._hear_hello,
            "joined": self._hear_joined,
            "weights": self._hear_weights,
            "compiling": self._hear_compiling,
            "tick": self._hear_tick,
            "row": self._hear_row,
            "test": self._hear_test,
            "diverged": self._hear_diverged,
            "end": self._hear_end,
            "error": self.errors.append,
            "lost": self._hear_lost,
        }
        listeners[message["kind"]](message)
        self._heard = time.monotonic()

    def broken(self, text: str) -> None:
        """An attempt has failed: what is to be said of it."""
        self._broken = self._broken or time.monotonic()
        self.say(text)

    @property
    def state(self) -> str:
        """What goes on, in words."""
        return self._state.removesuffix(NO_NEWS)

    def tick(self) -> None:
        """Called often: shows what is under way while no rank says anything."""
        silent = time.monotonic() - self._heard
        self.progress.under_way(f"{self._state}, {silent:.0f} s so far")

    def end(self) -> None:
        """Show the table; leave the screen and the files as they are."""
        self.progress.close()
        if self.metrics.rows:
            self.say(self.metrics.table())

    def close(self) -> None:
        """Close what is open."""
        self.progress.close()
        self.metrics.close()
        if self.screen is not sys.stderr:
            self.screen.close()

    def say(self, text: str) -> None:
        """Show a line to the user."""
        self.progress.write(text)

    # --- what the ranks say ------------------------------------------------------------------

    def _hear_hello(self, message: Message) -> None:
        self.hosts[message["rank"]] = message["host"]
        self._state = self._waited_for()

    def _hear_joined(self, message: Message) -> None:
        self.joined.add(message["rank"])
        if len(self.joined) == self.world_size:
            where = ", ".join(f"{rank} on {self.hosts[rank]}" for rank in sorted(self.hosts))
            self.say(f"{self.world_size} ranks: {where}")
            if message["links"]:  # where they were chosen: the same on all ranks
                self.say(f"connection: {message['links']}")
        self._state = self._waited_for()

    def _hear_weights(self, message: Message) -> None:
        """What a file of weights has for the net; rank 0 speaks for all."""
        self.say(message["text"])

    def _waited_for(self) -> str:
        """What goes on before the first iteration."""
        if len(self.hosts) < self.world_size:
            return f"waiting for the ranks: {len(self.hosts)} of {self.world_size} have started"
        return "the ranks set up their nets and data"

    def _hear_compiling(self, message: Message) -> None:
        self._compiled[message["rank"]] = message["count"]
        count = max(self._compiled.values())
        self._state = self.progress.compiling(count, message["name"])

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
        self.metrics.add("train", message["iteration"], self._seconds(), values)

    def _show(self, rows: list[Message], times: int, line: bool) -> dict[str, float]:
        """Move the progress on to what the rows say (each for so many ranks)."""
        seconds = [max(row["seconds"], 1e-9) for row in rows]
        values = {
            "loss": sum(row["loss"] for row in rows) / len(rows),
            "learning_rate": rows[0]["lr"],
            "samples_per_second": sum(row["samples"] for row in rows) * times / max(seconds),
            "communication": sum(row["waited"] for row in rows) / sum(seconds),
        }
        if self._broken is not None:
            self.recoveries.append(time.monotonic() - self._broken)
            self._broken = None
            self.say(f"training goes on, {self.recoveries[-1]:.1f} s after the fault")
        done = rows[0]["iteration"] + 1
        self.latest = {"iteration": done, **values}
        facts = self.progress.update(done, *values.values(), line=line)
        self._state = f"{facts}{NO_NEWS}"
        return values

    def _hear_test(self, message: Message) -> None:
        values: dict[str, float] = message["values"]
        if message["net"] == 0:
            self.validations.append((message["iteration"], values))
        phase = f"test{message['net'] or ''}"
        shown = columns_of(values)
        self.metrics.add(phase, message["iteration"], self._seconds(), shown)
        facts = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        self.say(f"iteration {message['iteration']}, {phase}: {facts}")

    def _hear_diverged(self, message: Message) -> None:
        """The first rank whose loss is not finite tells where that began; the others follow."""
        if not self.diverged:
            self.diverged = True
            self.say(f"rank {message['rank']}: {message['text']}")

    def _hear_end(self, message: Message) -> None:
        """The last word of a rank that has come to the end."""
        self.ended.add(message["rank"])
        self._state = "the ranks are done, the model comes"
        if message["left_out"]:
            self.say(
                f"rank {message['rank']} left out {message['left_out']} samples that cannot be"
                f" read: {'; '.join(message['reasons'])}"
            )

    def _hear_lost(self, message: Message) -> None:
        self.lost.add(message["rank"])

    def _seconds(self) -> float:
        return time.monotonic() - self.started
