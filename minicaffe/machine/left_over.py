"""Names for files that are being written, and the removal of those whose writer was killed.

    .lenet_iter_500.caffemodel.5f0c91be-4711-9d2e41aa     beside the file that it will be

The number in the middle is the writer's process, the one before it says where that number counts:
a machine since its start, and there a container. Only in the same place it can be seen whether the
writer lives. A file from elsewhere, on a shared disk or of before a restart, is left over when
nobody has written to it for a day.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import time
from pathlib import Path

STEM = 40  # characters of a file's own name; the whole must not become too long
LATER = 24 * 3600.0  # seconds without a change after which a file from elsewhere is left over

_NAME = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}", re.DOTALL)


def name_beside(name: str) -> str:
    """A name that nobody else uses, for a file of this process that will be called `name`."""
    return f".{name[:STEM]}.{_place()}-{os.getpid()}-{os.urandom(4).hex()}"


def clear_left_over(folder: str | os.PathLike[str], start: str) -> None:
    """Remove files that were to get names beginning with `start`, and whose writers are gone."""
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found is None or not found[1].startswith(start[:STEM]):
                continue
            with contextlib.suppress(OSError):  # another process clears away too
                if _is_left_over(entry, found[2], int(found[3])):
                    os.unlink(entry.path)


def _is_left_over(entry: os.DirEntry[str], place: str, writer: int) -> bool:
    if place != _place():
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > LATER
    try:
        os.kill(writer, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's process
        return False
    return False


@functools.cache
def _place() -> str:
    """Where the numbers of processes are what they are here, in eight digits."""
    facts = [platform.node()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
