"""A task's tests in a process of their own: started, limited, ended with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START = 120.0  # seconds until the tests begin: imports, on a busy machine
PLUGIN = "minicaffe.labs.plugin"


@dataclass
class Run:
    """What became of a child: its record, and how it ended."""

    events: list[dict[str, Any]] = field(default_factory=list)
    status: int = 0  # of the process; negative for a signal
    late: bool = False  # it was ended at its limit
    output: str = ""
    stacks: str = ""  # where Python stood when it crashed, or shortly before its limit

    @property
    def results(self) -> list[dict[str, Any]]:
        """The tests that are over, each once; a failure after a test's own end counts."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.events:
            if event["event"] == "done":
                before = found.get(event["test"])
                if before is None or (before["passed"] and not event["passed"]):
                    found[event["test"]] = event
        return list(found.values())

    @property
    def tests(self) -> list[str]:
        """The names of all tests, as they were collected."""
        return [
            name for event in self.events if event["event"] == "begin" for name in event["tests"]
        ]

    @property
    def ended(self) -> bool:
        """Whether pytest came to its end."""
        return any(event["event"] == "end" for event in self.events)

    @property
    def running(self) -> str:
        """The test that never was over; "" if there is none."""
        over = {event["test"] for event in self.results}
        begun = [event["test"] for event in self.events if event["event"] == "test"]
        return begun[-1] if begun and begun[-1] not in over else ""


def pytest_words(tests: Sequence[str], root: Path, folder: Path, config: Path | None) -> list[str]:
    """pytest's arguments for these tests; without `config` no settings of any folder are read."""
    words = ["-p", PLUGIN, "-p", "no:cacheprovider", "-p", "no:faulthandler",
             f"--rootdir={root}", "--import-mode=importlib", "--tb=short", "-q",
             f"--lab-folder={folder}"]  # fmt: skip
    words += (
        ["-c", str(config), "-p", "pytest_timeout"]
        if config
        else ["-c", os.devnull, "--noconftest"]
    )
    return [*words, *(word for test in tests for word in shlex.split(test))]


def runs_of(tests: Sequence[str]) -> list[list[str]]:
    """What one run of pytest can take at a time: of several -k in a command line the last holds."""
    plain = [test for test in tests if "-k" not in shlex.split(test)]
    chosen = [[test] for test in tests if "-k" in shlex.split(test)]
    return [plain, *chosen] if plain else chosen


def environment(folder: Path, seed: int, **further: str) -> dict[str, str]:
    """The child's variables: the student's files come first, one thread, kernels kept here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {
        **kept,
        "MINICAFFE_PATH": str(folder),
        "MINICAFFE_CACHE_DIR": str(folder / ".cache"),
        "MINICAFFE_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MINICAFFE_LAB_SEED": str(seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
        **further,
    }


def run(words: Sequence[str], variables: Mapping[str, str], cwd: Path, seconds: float) -> Run:
    """pytest with these words, in a process group of its own that does not outlive this call.

    `seconds` count from the moment when the first test is known.
    """
    with tempfile.TemporaryDirectory(prefix="minicaffe-lab-") as name:
        record, output = Path(name, "record"), Path(name, "output")
        command = [sys.executable, "-m", "pytest", *words,
                   f"--lab-record={record}", f"--lab-seconds={seconds:g}"]  # fmt: skip
        with output.open("wb") as written:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT,
                env=dict(variables), cwd=cwd, start_new_session=True,
            )  # fmt: skip
        late = False
        try:
            late = not _await(child, record, seconds)
        finally:
            end_group(child.pid)
            child.wait()
        stacks = record.with_suffix(".stacks")
        return Run(
            read_record(record),
            child.returncode,
            late or child.returncode == -signal.SIGXCPU,
            output.read_text(encoding="utf-8", errors="replace")[-20_000:],
            stacks.read_text(encoding="utf-8", errors="replace") if stacks.exists() else "",
        )


def _await(child: subprocess.Popen[bytes], record: Path, seconds: float) -> bool:
    """Whether the child ended in time."""
    deadline, began = time.monotonic() + START, False
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.02 if began else 0.1)
            return True
        if not began and record.exists() and record.stat().st_size:
            began, deadline = True, time.monotonic() + seconds
    return False


def end_group(group: int) -> None:
    """Kill what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def read_record(path: Path) -> list[dict[str, Any]]:
    """The events of a record; a last line that was cut off does not count."""
    events = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                events.append(json.loads(line))
    return events
