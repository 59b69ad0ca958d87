"""Files between driver and tasks where they have no file system in common.

A task sees most files itself: on a shared disk, in HDFS or S3. Those of the driver's own disk come,
and the model goes, over a connection to the driver's control port, after the same proof as there,
in pieces: neither side ever holds a whole file, and none passes through Spark.

    task      {"kind": "fetch", "url": ...}       the driver: {"error": ""}, then the bytes
              {"kind": "reserve", "size": n}                  {"error": ""}, if there is room
              {"kind": "deliver", "size": n}, n bytes         {"error": ""}, when they are on disk

One request a connection. An error is a sentence, which the task raises.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from minicaffe.errors import ClusterError, Error, SnapshotError
from minicaffe.machine.file_system import download, entry_of, is_far, local_path
from minicaffe.machine.host_copy import host_copy
from minicaffe.machine.whole_file import check_room, whole_file
from minicaffe.solver.state_file import file_checksum

from ...driver_call import Call, dial
from ..control import Message

PIECE = 1 << 20  # bytes
PATIENCE = 120.0  # seconds that either side waits for the other's next piece


@dataclass(frozen=True)
class JobFile:
    """A file that tasks need, of any size: where it lies and what it must be, not its content."""

    url: str  # absolute
    size: int
    version: str  # of a far one; the CRC-32 of a local one

    @property
    def name(self) -> str:
        """Its name, without folders."""
        return os.path.basename(self.url)


def job_file(url: str) -> JobFile:
    """What a job knows of a file. Raises DataError or SnapshotError where it cannot be read."""
    place = url if is_far(url) else os.path.abspath(local_path(url))
    entry = entry_of(place)
    version = entry.version if is_far(url) else f"{file_checksum(place):08x}"
    return JobFile(place, entry.size, version)


# --- on an executor ------------------------------------------------------------------------------


class JobFiles(ExitStack):
    """The files of a job, as a task finds them, until the block is left."""

    def __init__(self, call: Call | None, rank: int) -> None:
        super().__init__()
        self._call = call
        self._rank = rank

    def path_of(self, file: JobFile) -> str:
        """A path under which a file can be read: its own, or that of this machine's copy."""
        if not is_far(file.url) and _is_the_same(file):
            return file.url
        copy = host_copy(file.url, file.version, file.size, lambda path: self._bring(file, path))
        return str(self.enter_context(copy))

    def _bring(self, file: JobFile, path: Path) -> None:
        if is_far(file.url):
            download(file.url, path)
            return
        if self._call is None:
            raise ClusterError(f"{file.url} is not there, and the driver cannot be asked for it")
        with FileLine(self._call, self._rank) as line, path.open("wb") as target:
            line.ask("fetch", url=file.url)
            for piece in pieces(line.stream, file.size):
                target.write(piece)


def _is_the_same(file: JobFile) -> bool:
    """Whether what a task sees at the file's path is the driver's file."""
    with contextlib.suppress(OSError, SnapshotError):
        if os.path.getsize(file.url) == file.size:
            return f"{file_checksum(file.url):08x}" == file.version
    return False


class FileLine:
    """A task's end: one request to the driver."""

    def __init__(self, call: Call, rank: int) -> None:
        self._rank = rank
        self._socket = dial(call, rank)
        self._socket.settimeout(PATIENCE)
        self.stream: BinaryIO = self._socket.makefile("rb")

    def ask(self, kind: str, content: Iterable[bytes] = (), **fields: Any) -> None:
        """Make a request, with what belongs to it. Raises ClusterError with the driver's reason."""
        try:
            message = {"kind": kind, "rank": self._rank, **fields}
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            for piece in content:
                self._socket.sendall(piece)
            answer = json.loads(self.stream.readline())
        except (OSError, ValueError) as error:
            raise ClusterError(f"the driver did not answer to '{kind}': {error}") from error
        if answer["error"]:
            raise ClusterError(str(answer["error"]))

    def __enter__(self) -> FileLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self._socket.close()


def pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes of a stream, piece by piece. Raises ClusterError where it ends before them."""
    left = size
    while left:
        piece = stream.read(min(PIECE, left))
        if not piece:
            raise ClusterError(f"only {size - left} of {size} bytes have come")
        left -= len(piece)
        yield piece


# --- on the driver -------------------------------------------------------------------------------


class FileDesk:
    """The driver's end: gives out the files of a job, and takes in its model, at `target`."""

    kinds = frozenset({"fetch", "reserve", "deliver"})

    def __init__(self, files: Iterable[JobFile], target: str = "") -> None:
        self._files = {file.url: file for file in files}
        self._target = target

    def answer(self, message: Message, stream: BinaryIO, connection: socket.socket) -> None:
        """Do what a task asks for, of one of the `kinds`."""
        connection.settimeout(PATIENCE)
        try:
            work = getattr(self, f"_{message['kind']}")
            content: Iterable[bytes] = work(message, stream)
            error = ""
        except (Error, OSError) as problem:
            content, error = (), str(problem)
        connection.sendall(json.dumps({"error": error}).encode() + b"\n")
        for piece in content:
            connection.sendall(piece)
        while stream.read(PIECE):  # what still comes of a model that cannot be written
            pass

    def _fetch(self, message: Message, stream: BinaryIO) -> Iterable[bytes]:
        file = self._files.get(message["url"])
        if file is None:
            raise ClusterError(f"{message['url']} is no file of this job")
        if os.path.getsize(file.url) != file.size:
            raise ClusterError(f"{file.url} was changed while the job ran")
        return self._content(file)

    @staticmethod
    def _content(file: JobFile) -> Iterator[bytes]:
        with open(file.url, "rb") as source:
            yield from pieces(source, file.size)

    def _reserve(self, message: Message, stream: BinaryIO) -> Iterable[bytes]:
        check_room(self._target, int(message["size"]), "-model")
        return ()

    def _deliver(self, message: Message, stream: BinaryIO) -> Iterable[bytes]:
        with whole_file(self._target, SnapshotError) as beside, open(beside, "wb") as target:
            for piece in pieces(stream, int(message["size"])):
                target.write(piece)
        return ()
