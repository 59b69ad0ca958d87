"""Half-written files of processes that were killed, and of those that still write."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe.machine.left_over import LATER, clear_left_over, name_beside
from minicaffe.machine.whole_file import whole_file
from tests.conftest import CHECKOUT

WRITER = """
import sys, time
from minicaffe.machine.whole_file import whole_file
with whole_file(sys.argv[1]) as beside, open(beside, "w") as file:
    print("half of it", file=file, flush=True)
    print(beside, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A process in the middle of writing `model`, and the file that it writes to."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "model")],
                               cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)  # fmt: skip
    with process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def write(path: Path) -> None:
    with whole_file(path) as beside:
        beside.write_text("all of it", encoding="utf-8")


def test_what_a_killed_process_has_left_goes_with_the_next_writing(
    writer: tuple["subprocess.Popen[str]", Path], tmp_path: Path
) -> None:
    process, half = writer
    write(tmp_path / "model")
    assert half.exists()  # its writer lives
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    write(tmp_path / "other")
    assert half.exists()  # another file's
    write(tmp_path / "model")
    assert sorted(os.listdir(tmp_path)) == ["model", "other"]


def test_a_file_from_elsewhere_is_left_over_after_a_day(tmp_path: Path) -> None:
    here = name_beside("model").split(".")[-1].split("-")[0]
    elsewhere = tmp_path / name_beside("model").replace(here, "0123abcd")
    elsewhere.write_bytes(b"half")
    clear_left_over(tmp_path, "model")
    assert elsewhere.exists()
    os.utime(elsewhere, times=(time.time() - LATER - 60,) * 2)
    clear_left_over(tmp_path, "model")
    assert not elsewhere.exists()


def test_names_of_other_kinds_are_left_alone(tmp_path: Path) -> None:
    names = [".model", ".model.swp", ".model.0123abcd-1-0123456789", "model.0123abcd-1-01234567"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, times=(0, 0))
    clear_left_over(tmp_path, "model")
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_a_name_of_this_process_has_room_and_is_new() -> None:
    name = "ö" * 127
    assert len(name_beside(name).encode()) < 255
    assert name_beside(name) != name_beside(name)
