"""Copies of far files, once for a machine: made, shared, found again, cleared away."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minicaffe.errors import DataError
from minicaffe.machine import host_copy as module
from minicaffe.machine.host_copy import host_copy
from tests.conftest import CHECKOUT


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICAFFE_COPIES", str(tmp_path / "copies"))
    return tmp_path / "copies"


def bring(path):
    path.write_bytes(b"12345")


def never(path):
    raise AssertionError("there is a copy")


def test_a_copy_is_made_once_and_found_again():
    with host_copy("s3a://b/x y.bin", "1", 5, bring) as path:
        assert path.name == "x_y.bin"
        assert path.read_bytes() == b"12345"
        with host_copy("s3a://b/x y.bin", "1", 5, never) as same:
            assert same == path
    with host_copy("s3a://b/x y.bin", "1", 5, never) as again:
        assert again == path


def test_what_has_changed_there_is_copied_anew():
    with host_copy("s3a://b/x", "1", 5, bring) as one, host_copy("s3a://b/x", "2", 5, bring) as two:
        assert one != two


def test_a_folder_is_copied_whole():
    def bring_folder(path):
        path.mkdir()
        bring(path / "data.mdb")

    with host_copy("hdfs://h/lmdb", "", 5, bring_folder) as path:
        assert os.listdir(path) == ["data.mdb"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda path: path.write_bytes(b"123"), "s3a://b/x: 3 bytes have come of 5"),
        (lambda path: path.mkdir(), "s3a://b/x: 0 bytes have come of 5"),
        (lambda path: (path / "a").write_bytes(b""), "s3a://b/x: cannot be copied to .*: No such"),
    ],
)
def test_what_comes_in_part_is_no_copy(root, bad, message):
    with pytest.raises(DataError, match=message), host_copy("s3a://b/x", "1", 5, bad):
        pass
    assert {each.suffix for each in root.iterdir()} == {".lock", ".making"}
    with host_copy("s3a://b/x", "1", 5, bring) as path:
        assert path.exists()


def test_those_who_come_at_once_wait_for_one_copy():
    """... and then use it at the same time, as ranks do that wait for each other."""
    made, all_there = [], threading.Barrier(8, timeout=20)

    def slowly(path):
        made.append(path)
        time.sleep(0.05)
        bring(path)

    def use():
        with host_copy("s3a://b/x", "1", 5, slowly) as path:
            all_there.wait()
            assert path.read_bytes() == b"12345"

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and not all_there.broken


def test_old_copies_go_and_those_in_use_stay(root, monkeypatch):
    monkeypatch.setattr(module, "KEPT", -1.0)
    with host_copy("s3a://b/used", "1", 5, bring) as used:
        with host_copy("s3a://b/old", "1", 5, bring) as old:
            pass
        with host_copy("s3a://b/new", "1", 5, bring) as new:
            assert used.exists() and new.exists() and not old.exists()
    assert len(list(root.glob("*.lock"))) == 2


def test_an_idle_copy_makes_room_and_no_room_is_told(monkeypatch):
    with host_copy("s3a://b/idle", "1", 5, bring) as idle:
        pass
    free = [5]
    monkeypatch.setattr(module, "_free", lambda root: free[0])
    with host_copy("s3a://b/new", "1", 5, bring):
        assert not idle.exists()
    free = [4]
    with (
        pytest.raises(DataError, match=r"no room for a copy of 0.0 MB in .*MINICAFFE_COPIES"),
        host_copy("s3a://b/more", "1", 5, bring),
    ):
        pass


def test_a_process_that_is_killed_holds_no_copy(root, monkeypatch):
    program = (
        "import os, signal, sys\n"
        "from minicaffe.machine.host_copy import host_copy\n"
        "with host_copy('s3a://b/x', '1', 5, lambda path: path.write_bytes(b'12345')) as path:\n"
        "    print(path); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    copy = Path(done.stdout.strip())
    assert copy.exists()
    monkeypatch.setattr(module, "KEPT", -1.0)
    with host_copy("s3a://b/y", "1", 5, bring):
        assert not copy.exists()
    shutil.rmtree(root)
