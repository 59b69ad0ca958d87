"""What the set-up shows while it goes on."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

# Says what it does, and ends when a file is there.
WORK = """
import pathlib, sys, time
print("Collecting one", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
"""


def start(stdout: int, *command: str) -> subprocess.Popen[str]:
    """The narrator, in a hurry."""
    hurry = "import narrate, sys; narrate.EVERY = narrate.REDRAWN = 0.05"
    hurry += "; sys.exit(narrate.main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", hurry, *command],
        cwd=CHECKOUT, stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_line_now_and_then_says_what_the_command_said_last(tmp_path: Path) -> None:
    """Again and again, for as long as it takes."""
    command = [sys.executable, "-c", WORK, str(tmp_path / "end")]
    with start(subprocess.PIPE, *command) as narrator:
        assert narrator.stdout is not None
        lines = iter(narrator.stdout)
        told = [next(line for line in lines if "Collecting one" in line) for _ in range(2)]
        (tmp_path / "end").touch()
        rest = list(lines)
    assert narrator.returncode == 0
    assert all(line.startswith("[set-up]   Collecting one, ") for line in (*told, *rest))


def test_what_fails_is_shown_whole_with_its_status() -> None:
    fails = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    with start(subprocess.PIPE, sys.executable, "-u", "-c", fails) as narrator:
        _, errors = narrator.communicate(timeout=60)
    assert narrator.returncode == 3
    assert errors == "one\ntwo\n"


@pytest.mark.parametrize("flag", [(), ("--shows-itself",)])
def test_on_a_terminal_one_line_is_redrawn_or_the_command_has_it(
    tmp_path: Path, flag: tuple[str, ...]
) -> None:
    end = tmp_path / "end"
    ends_if_terminal = (
        f"import sys, pathlib; sys.stdout.isatty() and pathlib.Path({str(end)!r}).touch()\n"
    )
    ours, theirs = pty.openpty()
    command = [*flag, sys.executable, "-c", ends_if_terminal + WORK, str(end)]
    with start(theirs, *command) as narrator:
        os.close(theirs)
        shown = b""
        while not end.exists():
            shown += os.read(ours, 1000)
            if shown.count(b"\r\x1b[K[set-up]   Collecting one, ") > 1:
                end.touch()
        narrator.wait(60)
    assert narrator.returncode == 0
    assert (b"[set-up]" in shown) == (not flag)
    os.close(ours)
