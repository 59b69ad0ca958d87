"""Damaged files are read or refused with our own errors; and the machinery that says so works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

pytest.importorskip("h5py")
pytest.importorskip("cv2")
if not Path("/proc/self/statm").exists():
    pytest.skip("memory is watched through Linux's /proc", allow_module_level=True)

PLANTED = """
import os
import time
from tests.fuzz import fuzz
from tests.fuzz.fuzz_targets import Target
from minicaffe.errors import DataError

FAULTS = [b"fine", b"error", b"key", b"memory", b"hang", b"wait", b"abort", b"exit"]

def read(path):
    content = open(path, "rb").read()
    if content == b"error":
        raise DataError("so it should be")
    if content == b"key":
        {}["nothing"]
    if content == b"memory":
        bytearray(1 << 30)
    if content == b"abort":
        os.abort()
    if content == b"exit":
        os._exit(3)
    while content == b"hang":
        pass
    if content == b"wait":
        time.sleep(9)

def change(data, chance):
    return chance.choice(FAULTS)

fuzz.SECONDS, fuzz.LONGEST, fuzz.BATCH = 0.1, 0.5, 9
fuzz.targets = lambda folder: {"planted": Target([b"fine"], change, read)}
findings, tally, _ = fuzz.fuzz(60, 5)
for line in sorted({finding.what.split(" at ")[0] for finding in findings}):
    print(line)
assert sum(tally.values()) == 60
assert {"planted read", "planted refused"} < set(tally)
"""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )


def test_a_short_run_finds_nothing() -> None:
    done = python("-m", "tests.fuzz.fuzz", "--count", "300", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 cases, 0 failed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_long_run_finds_nothing() -> None:
    done = python("-m", "tests.fuzz.fuzz", "--count", "20000", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_faults_are_found_and_named() -> None:
    done = python("-c", PLANTED)
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if not line.startswith("case ")]
    assert found == [
        "KeyError",
        "MemoryError",
        "ends the process with status 3",
        "ends the process: SIGABRT",
        "takes more than 0.1 s of the processor",
        "takes more than 0.5 s on the clock",
    ]


def test_a_case_is_always_the_same() -> None:
    first, again = (python("-m", "tests.fuzz.fuzz", "--case", "11").stdout for _ in range(2))
    assert first.splitlines()[:-1] == again.splitlines()[:-1]  # the last tells what is measured
    assert first.startswith("kind ")
