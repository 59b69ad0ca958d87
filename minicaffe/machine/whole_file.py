"""Files that are written whole or not at all: beside their place, to the disk, then into it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

from ..errors import Error, SnapshotError
from .file_system import free_bytes, is_far, upload
from .left_over import clear_left_over, name_beside

_leave: ContextVar[Callable[[], None]] = ContextVar("leave to write", default=lambda: None)


@contextlib.contextmanager
def fenced(leave: Callable[[], None]) -> Iterator[None]:
    """In a `with` block `leave` is called, in this thread, before a file goes to its place.

    What it raises keeps the file from there: so who has been given up overwrites nothing.
    """
    former = _leave.get()
    _leave.set(leave)
    try:
        yield
    finally:
        _leave.set(former)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], error: type[Error] = Error) -> Iterator[Path]:
    """A name beside `path` for the block to write to; when it ends, the file goes to `path`.

        with whole_file("curves.csv") as beside, open(beside, "w") as file: ...

    A reader finds what was there before or all of the new file, after a loss of power too: the file
    and its folder are on the disk when the block is left. A link stays one, what it points to is
    replaced. A file at a far URL is put when the block ends. Whatever ends the block early, nothing
    is left beside; what a killed process has left there, the next one removes. Raises `error`, with
    the path, where the system refuses to write.
    """
    if is_far(path):
        with _far_file(os.fspath(path), error) as beside:
            yield beside
        return
    target = Path(os.path.realpath(path))
    clear_left_over(target.parent, target.name)
    beside = target.with_name(name_beside(target.name))
    try:
        try:
            yield beside
            _to_disk(beside)
            _leave.get()()
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # some network file systems sync no folders
            _to_disk(target.parent)
    except OSError as problem:
        reason = problem.strerror or problem
        raise error(f"{path}: cannot be written: {reason}") from problem


@contextlib.contextmanager
def _far_file(url: str, error: type[Error]) -> Iterator[Path]:
    """The same for a far URL: a name on this machine, whose file is put there at the end."""
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder:
        beside = Path(folder, url.rpartition("/")[2])
        try:
            yield beside
        except OSError as problem:
            raise error(f"{url}: cannot be written, by way of {beside}: {problem}") from problem
        _leave.get()()
        upload(beside, url, error)


def check_room(path: str, size: int, what: str, error: type[Error] = SnapshotError) -> None:
    """Raise `error` unless so many bytes find room in the folder of a path; `what` they are.

    Where the file system does not tell, as those of HDFS and S3 do not, they do.
    """
    folder = os.path.dirname(path)
    free = free_bytes(folder)
    if free is not None and free < size:
        raise error(
            f"{what} needs {size / 1e6:.1f} MB in {folder or '.'}, where {free / 1e6:.1f} MB are"
            " free: make room before the training begins"
        )


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
