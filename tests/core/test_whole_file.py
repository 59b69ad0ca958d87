"""Files written whole: the old one or the new one is there, and nothing beside it."""

import os
from pathlib import Path
from typing import Any

import pytest

from minicaffe.errors import Error, SnapshotError
from minicaffe.machine.whole_file import whole_file


def test_the_file_changes_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old", encoding="utf-8")
    with whole_file(path) as beside:
        beside.write_text("new", encoding="utf-8")
        assert beside.parent == tmp_path
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, ValueError, Error])
def test_a_block_that_ends_early_leaves_all_as_it_was(
    tmp_path: Path, end: type[BaseException]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"old")
    with pytest.raises(end), whole_file(path) as beside:
        beside.write_bytes(b"half")
        raise end
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_file_and_folder_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    replace = os.replace

    def moved(source: Path, target: Path) -> None:
        events.append("moved")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda number: events.append(os.fstat(number).st_ino))
    monkeypatch.setattr(os, "replace", moved)
    with whole_file(tmp_path / "a") as beside:
        beside.write_bytes(b"1")
    assert events == [(tmp_path / "a").stat().st_ino, "moved", tmp_path.stat().st_ino]


def test_errors_name_the_file_and_are_of_the_class_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a.txt"
    message = r"none/a\.txt: cannot be written: No such file or directory$"
    with pytest.raises(Error, match=message), whole_file(path) as beside:
        beside.write_bytes(b"")
    with pytest.raises(SnapshotError, match="^.*disk full$"), whole_file(path, SnapshotError):
        raise OSError("disk full")  # as h5py says it, without a number


def test_a_long_name_has_room_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("ö" * 127)  # 254 bytes
    with whole_file(path) as beside:
        beside.write_bytes(b"1")
    assert path.read_bytes() == b"1"
