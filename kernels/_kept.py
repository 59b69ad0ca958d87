"""Where compiled kernels are kept, and when files there may be trusted.

The folder is $MINICAFFE_CACHE_DIR, else $XDG_CACHE_HOME/minicaffe, else ~/.cache/minicaffe; in it a
folder for each version. What is read there runs as the user: so these folders must belong to them
(or to root), and nobody else may write there; they are made so.
"""

import logging
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

import minicaffe
from minicaffe.machine.cache_folder import kernel_folder

log = logging.getLogger("minicaffe")


def base() -> Path:
    """The folder of this version: see the head of this file."""
    return kernel_folder() / minicaffe.__version__


@cache
def safe(path: Path) -> Path | None:
    """A folder below `base()`, made where it is missing; None, and a warning, where it may not be
    used."""
    places = (path.parent.parent, path.parent, path)
    try:
        places[0].parent.mkdir(parents=True, exist_ok=True)
        for place in places:
            place.mkdir(mode=0o755, exist_ok=True)
        reasons = [_why_unsafe(place, place == path) for place in places]
    except OSError as error:
        cannot_write(str(error))
        return None
    for reason in filter(None, reasons):
        cannot_write(reason)
        return None
    return path


def _why_unsafe(place: Path, is_last: bool) -> str:
    """Why code from a folder might be somebody else's; "" if it cannot be.

    In a folder with the sticky bit, such as /tmp, others cannot put theirs in our folder's place.
    """
    found = place.stat()
    if found.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to another user, whose code would run here"
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and (is_last or not found.st_mode & stat.S_ISVTX):
        return f"others may write to {place}, and their code would run here (chmod go-w {place})"
    return ""


def read_own(path: Path) -> bytes:
    """The bytes of a file of this user or of root; none of others', or where there is none."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_uid in (0, os.geteuid()):
                return file.read()
            log.warning("%s belongs to another user: its code is not run", path)
    except OSError:
        pass
    return b""


def write(path: Path, data: bytes) -> None:
    """Put a file into its place in one step; where that cannot be, a warning says so, once.

    Without a sync: what a crash leaves of a file does not fit the hash that is kept with it.
    """
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        cannot_write(str(error))


@cache
def cannot_write(why: str) -> None:
    """Warn, once, that nothing is kept."""
    log.warning("compiled kernels are not kept, every process compiles anew: %s", why)
