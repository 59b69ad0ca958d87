"""Signals end a process with one sentence, also when compiled code never returns to Python."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import CHECKOUT

FRAME = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
import numba, numpy as np
from minicaffe import cli
@numba.njit(nogil=True)
def count(x):
    while x[0] >= 0:
        x[1] += 1
def body(words):
    count(np.array([-1, 0]))
    print("ready", flush=True)
    {body}
    return 0
cli._run = body
sys.exit(cli.main([]))
"""
WAITS = "time.sleep(40)"
NEVER_RETURNS = "count(np.zeros(2, int))"
AFTER = "did not return within 2 s"


Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command that says it is ready and then does something; it is gone afterwards."""
    processes: list[subprocess.Popen[str]] = []

    def started(body: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", FRAME.format(body=body)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("body", "number", "times", "status", "says"),
    [
        (WAITS, signal.SIGTERM, 1, 143, "minicaffe: ended by SIGTERM\n"),
        (WAITS, signal.SIGINT, 1, 130, ""),
        (NEVER_RETURNS, signal.SIGTERM, 1, 143, f"ended by SIGTERM, in the middle of what {AFTER}"),
        (NEVER_RETURNS, signal.SIGINT, 2, 130, f"ended by SIGINT, in the middle of what {AFTER}"),
    ],
)
def test_a_signal_ends_a_command(
    start: Start, body: str, number: signal.Signals, times: int, status: int, says: str
) -> None:
    process = start(body)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.3)
    _, said = process.communicate(timeout=20)
    assert process.returncode == status
    assert said == says if says in ("", "minicaffe: ended by SIGTERM\n") else says in said
    assert "Traceback" not in said


def test_the_first_interrupt_that_does_not_end_it_says_how_to(start: Start) -> None:
    process = start(NEVER_RETURNS)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert "still at work; another Ctrl-C ends it" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    process.communicate()


def test_an_interrupt_that_was_answered_does_not_count(start: Start) -> None:
    """-sigint_effect=snapshot: Ctrl-C may come as often as one likes."""
    answers = (
        "from minicaffe.machine.signals import answered\n    "
        "signal.signal(signal.SIGINT, lambda *_: answered())\n    time.sleep(4)"
    )
    process = start(answers)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_a_crash_says_which_signal_and_where(start: Start) -> None:
    process = start("import ctypes; ctypes.string_at(0)")
    _, said = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in said
    assert "in main" in said
