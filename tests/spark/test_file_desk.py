"""Files between driver and tasks that have no disk in common, over real sockets without Spark."""

import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minicaffe.distributed.driver_call import Call, dial
from minicaffe.distributed.spark.control import ControlServer
from minicaffe.distributed.spark.files import desk as desk_module
from minicaffe.distributed.spark.files import model_home
from minicaffe.distributed.spark.files.desk import (
    PIECE,
    FileDesk,
    FileLine,
    JobFile,
    JobFiles,
    job_file,
)
from minicaffe.errors import ClusterError, Error, SnapshotError
from minicaffe.machine import whole_file
from minicaffe.proto import minicaffe_pb2 as pb

CONTENT = secrets.token_bytes(2 * PIECE + 17)


@pytest.fixture
def given(tmp_path: Path) -> JobFile:
    """A file of the driver's."""
    path = tmp_path / "given.caffemodel"
    path.write_bytes(CONTENT)
    return job_file(str(path))


@pytest.fixture
def call(tmp_path: Path, given: JobFile) -> Iterator[Call]:
    """A driver that gives out this file and takes in home/m.caffemodel."""
    (tmp_path / "home").mkdir()
    secret = secrets.token_bytes(32)
    desk = FileDesk([given], str(tmp_path / "home" / "m.caffemodel"))
    server = ControlServer("127.0.0.1", "run", 3, secret, desk)
    yield Call(server.address, "run", 3, secret)
    server.close()
    assert server.messages.empty()


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let tasks be on another machine: they see no file of the driver's."""
    monkeypatch.setattr(desk_module, "_is_the_same", lambda file: False)
    monkeypatch.setenv("MINICAFFE_COPIES", str(folder))


def test_a_file_that_a_task_sees_is_taken_where_it_lies(given: JobFile) -> None:
    with JobFiles(None, 0) as files:
        assert files.path_of(given) == given.url


@pytest.mark.parametrize("change", [b"", CONTENT[:-1] + b"?"])
def test_another_file_of_the_same_path_is_not_taken_for_the_drivers(
    given: JobFile, change: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINICAFFE_COPIES", str(tmp_path / "copies"))
    Path(given.url).write_bytes(change)
    with pytest.raises(ClusterError, match="the driver cannot be asked"), JobFiles(None, 0) as job:
        job.path_of(given)


def test_a_file_comes_from_the_driver_once_for_a_machine(
    call: Call, given: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, tmp_path / "copies")
    with JobFiles(call, 1) as one, JobFiles(None, 2) as other:  # the other could not ask
        path = one.path_of(given)
        assert Path(path).read_bytes() == CONTENT
        assert other.path_of(given) == path != given.url


def test_what_is_not_of_the_job_is_not_given(call: Call, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    with FileLine(call, 0) as line, pytest.raises(ClusterError, match="is no file of this job"):
        line.ask("fetch", url=str(secret))


def test_a_file_that_changed_under_way_is_not_given(call: Call, given: JobFile) -> None:
    Path(given.url).write_bytes(b"shorter")
    with FileLine(call, 0) as line, pytest.raises(ClusterError, match="was changed while"):
        line.ask("fetch", url=given.url)


class Solver:
    """A solver as far as a model's way home looks at it."""

    def __init__(self) -> None:
        self.net: Any = None
        self.param = pb.SolverParameter(snapshot_after_train=False)


def home_of(
    call: Call, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> model_home.ModelHome:
    monkeypatch.setattr(model_home, "weights_bytes", lambda net, path, hdf5: content)
    monkeypatch.setattr(model_home, "stored_bytes", lambda net: len(content))
    return model_home.ModelHome(str(folder / "m.caffemodel"), str(folder / "gone"), call)


@pytest.mark.parametrize("size", [1, PIECE, 2 * PIECE + 17])
def test_a_model_goes_to_a_driver_elsewhere(
    call: Call, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(call, tmp_path / "home", CONTENT[:size], monkeypatch)
    solver: Any = Solver()
    assert not home.near
    home.check_room(solver)
    home.bring(solver)
    assert os.listdir(tmp_path / "home") == ["m.caffemodel"]
    assert (tmp_path / "home" / "m.caffemodel").read_bytes() == CONTENT[:size]


def test_too_little_room_is_said_before_the_training(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_file, "free_bytes", lambda folder: 1000)
    home = home_of(call, tmp_path / "home", CONTENT, monkeypatch)
    solver: Any = Solver()
    room = r"-model needs 2\.1 MB in .*/home, where 0\.0 MB are free"
    with pytest.raises(ClusterError, match=room):
        home.check_room(solver)
    home.near = True
    with pytest.raises(SnapshotError, match=room):
        home.check_room(solver)
    solver.param.snapshot = 1
    solver.param.snapshot_prefix = str(tmp_path / "home" / "s")
    solver.net, solver.history = Net(), [None, None]
    with pytest.raises(Error, match="a snapshot and -model needs"):
        home.check_room(solver)


class Net:
    """A net as far as its count of parameters goes."""

    class flat_params:
        count = 10


def test_a_model_that_cannot_be_written_is_told_and_leaves_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(call, tmp_path / "home", CONTENT, monkeypatch)
    (tmp_path / "home").rmdir()
    with pytest.raises(ClusterError, match="home/m.caffemodel: cannot be written: No such file"):
        home.bring(Solver())  # type: ignore[arg-type]
    assert sorted(os.listdir(tmp_path)) == ["given.caffemodel"]


def test_half_a_model_is_none(call: Call, tmp_path: Path) -> None:
    with dial(call, 0) as connection:
        connection.sendall(b'{"kind": "deliver", "rank": 0, "size": 9}\n12345')
        connection.shutdown(socket.SHUT_WR)
        answer = json.loads(connection.makefile().readline())
    assert answer == {"error": "only 5 of 9 bytes have come"}
    assert os.listdir(tmp_path / "home") == []
