"""`minicaffe submit` on a terminal: what is shown, and what Ctrl-C does there.

There Ctrl-C goes to spark-submit's JVM too, which would end at once and take the program with it.
"""

import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from tests.conftest import CHECKOUT
from tests.spark_cluster import SETTINGS, SmallSet

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.slow, pytest.mark.timeout(300)]

# Gives a command a terminal of its own, and passes on what comes: "\x03" is Ctrl-C there.
TERMINAL = """
import os, pty, sys
command = ["sh", "-c", 'stty rows 40 columns 120; exec "$@"', "sh", *sys.argv[1:]]
sys.exit(os.waitstatus_to_exitcode(pty.spawn(command)))
"""
CTRL_C = b"\x03"


class Terminal:
    """A program on a terminal; `mark` stands in the environment of all of its processes."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.mark = uuid.uuid4().hex
        environment = os.environ | {
            "MINICAFFE_TEST_MARK": self.mark, "PYTHONPATH": str(CHECKOUT), "TERM": "dumb",
            "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable,
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", TERMINAL, *words], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._shown = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        while part := os.read(self._process.stdout.fileno(), 1 << 16):
            self._shown += part

    @property
    def shown(self) -> str:
        """What stands on the screen, line by line."""
        return self._shown.decode(errors="replace").replace("\r", "\n")

    def wait_for(self, pattern: str) -> None:
        """Wait until this is shown."""
        deadline = time.monotonic() + 150
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, self.shown
            assert self._process.poll() is None, self.shown
            time.sleep(0.05)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        assert self._process.stdin
        self._process.stdin.write(keys)
        self._process.stdin.flush()

    def end(self) -> int:
        """The exit status, when the program has ended."""
        status = self._process.wait(120)
        self._reader.join()
        return status

    def others(self) -> list[str]:
        """The processes that are left."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def close(self) -> None:
        """End it, however far it is."""
        assert self._process.stdin and self._process.stdout
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    return SmallSet(tmp_path)


@pytest.fixture
def training(small: SmallSet) -> Iterator[Terminal]:
    """A training without an end."""
    solver = small.solver(max_iter=100_000_000, more="snapshot: 1000000")
    java = SETTINGS["spark.driver.extraJavaOptions"]
    terminal = Terminal(
        small.folder, sys.executable, "-m", "minicaffe", "submit", "--master", "local[2]",
        "--driver-java-options", java, "--conf", "spark.ui.enabled=false", "--",
        "-train", "-conf", solver, "-clusterSize", "2", "-model", str(small.folder / "m"),
    )  # fmt: skip
    yield terminal
    terminal.close()


def test_ctrl_c_ends_a_training_with_a_snapshot_and_one_line(
    training: Terminal, small: SmallSet
) -> None:
    training.wait_for(r"[1-9]\d*/100000000 \|")  # the bar
    training.type(CTRL_C)
    assert training.end() == 130
    shown = training.shown
    newest = newest_complete_snapshot(str(small.folder / "small"))
    assert newest is not None
    assert f"to go on: -resume, from {newest}" in shown
    assert shown.rstrip().endswith("minicaffe: interrupted")
    assert not re.search(r"Exception|Traceback|^\s+at \S+\(", shown, re.MULTILINE), shown
    assert not re.search(r"INFO|WARN |log4j", shown), shown
    assert [name for name in os.listdir(small.folder) if name.startswith(".")] == []
    deadline = time.monotonic() + 30
    while training.others() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert training.others() == []


def test_ctrl_c_while_spark_starts(training: Terminal) -> None:
    training.wait_for("Spark starts")
    training.type(CTRL_C)
    assert training.end() == 130
    assert not re.search(r"Exception|Traceback|^\s+at \S+\(", training.shown, re.MULTILINE)
    deadline = time.monotonic() + 30
    while training.others() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert training.others() == []
