"""Copies of far files on this machine, made once for all its processes, and cleared away.

A copy lies under a key, which changes with the content, in the folder MINICAFFE_COPIES, else in the
system's temporary folder. Who uses it holds a lock, which the system lets go when a process dies.
What nobody has used for a day, or now stands in the way of another, goes with the next copy made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import DataError

log = logging.getLogger("minicaffe.machine")

KEPT = 24 * 3600.0  # seconds that a copy stays after its last use
SPARE = 64 << 20  # bytes of the disk that a copy leaves free


def copies_folder() -> Path:
    """Where this user's copies lie on this machine."""
    given = os.environ.get("MINICAFFE_COPIES")
    return Path(given or Path(tempfile.gettempdir(), f"minicaffe-copies-{os.getuid()}"))


@contextlib.contextmanager
def host_copy(name: str, version: str, size: int, bring: Callable[[Path], None]) -> Iterator[Path]:
    """A copy of `name` in this version, of `size` bytes, for the length of a `with` block.

    Where there is none yet, `bring` makes it, a file or a folder, at the path that it is given;
    other processes that want it wait. Raises DataError where there is no room, or where `bring`
    brings something of another size.
    """
    root = copies_folder()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder of copies {root}: {error.strerror}") from error
    digest = hashlib.sha256(f"{name}\n{version}\n{size}".encode()).hexdigest()[:16]
    last = re.sub(r"[^\w.-]", "_", name.rstrip("/").rpartition("/")[2])[-60:]
    copy = root / digest / last
    with _in_use(root / f"{digest}.lock"):
        if not copy.exists():
            with _alone(root / f"{digest}.making"):
                if not copy.exists():
                    _clear(root, size)
                    _make(name, copy, size, bring)
        os.utime(root / f"{digest}.lock")
        yield copy


@contextlib.contextmanager
def _in_use(path: Path) -> Iterator[None]:
    """A shared lock on a file; as long as anybody has one, neither file nor copy is removed."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        with contextlib.suppress(OSError):
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                break
        os.close(lock)  # it was cleared away in between
    try:
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The lock of the one who makes a copy, apart from that of those who use it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _make(name: str, copy: Path, size: int, bring: Callable[[Path], None]) -> None:
    beside = copy.parent.with_name(f"{copy.parent.name}.{os.urandom(4).hex()}")
    log.info("copying %s (%.1f MB) to %s, once for this machine", name, size / 1e6, copy)
    try:
        beside.mkdir(mode=0o700)
        bring(beside / copy.name)
        found = _size_of(beside / copy.name)
        if found != size:
            raise DataError(f"{name}: {found} bytes have come of {size}")
        os.replace(beside, copy.parent)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{name}: cannot be copied to {copy.parent}: {reason}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _size_of(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _clear(root: Path, size: int) -> None:
    """Remove what is old; then, while `size` bytes find no room, what is not in use."""
    now = time.time()
    idle = sorted((_last_use(lock), lock) for lock in root.glob("*.lock"))
    for used, lock in idle:
        if now - used > KEPT or _free(root) < size + SPARE:
            _remove(lock)
    free = _free(root)
    if free < size:
        raise DataError(
            f"no room for a copy of {size / 1e6:.1f} MB in {root}: {free / 1e6:.1f} MB are free"
            " (MINICAFFE_COPIES names another folder)"
        )


def _last_use(lock: Path) -> float:
    with contextlib.suppress(OSError):  # another process has removed it
        return lock.stat().st_mtime
    return math.inf


def _free(root: Path) -> int:
    return shutil.disk_usage(root).free


def _remove(lock: Path) -> None:
    """Remove the copy of a lock that nobody holds."""
    with contextlib.suppress(OSError):
        file = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.with_suffix(".making").unlink(missing_ok=True)
            lock.unlink()
        finally:
            os.close(file)
