"""Rings whose links a test looks into, and what must not be left when they are gone."""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicaffe.distributed.auth import Member
from minicaffe.distributed.rendezvous import ThreadRendezvous
from minicaffe.distributed.ring import SEGMENT_BYTES, RingCommunicator
from minicaffe.distributed.transport import open_transport
from tests.ranks import SECRET, at_once

OURS, MEMORY = "minicaffe", "/memfd:minicaffe"
PATIENCE = 10.0  # seconds that threads and descriptors may take to go


def plain_rings(
    world_size: int,
    url: str,
    work: Callable[[RingCommunicator], Any],
    *,
    timeout: float = 20.0,
    segment_bytes: int = SEGMENT_BYTES,
    crc: bool = False,
    mac: bool = False,
) -> list[Any]:
    """What `work` returned or raised on each rank of a ring that is no more than a ring."""
    meeting = ThreadRendezvous.of(world_size, timeout=20)

    def call(rank: int) -> Any:
        me = Member(rank, world_size, secret=SECRET, signed=mac)
        door = open_transport(url)
        try:
            addresses = meeting[rank].allgather(door.address)
            transport = door.join(addresses[me.right], me, timeout, 5)
        finally:
            door.close()
        with RingCommunicator(
            transport, rank, world_size, crc=crc, segment_bytes=segment_bytes
        ) as ring:
            return work(ring)

    return at_once([lambda rank=rank: call(rank) for rank in range(world_size)])


def open_things() -> dict[str, object]:
    """What a ring of this process could leave: threads, files, descriptors, memory."""
    found: dict[str, object] = {
        "threads": {each.name for each in threading.enumerate()},
        "files": sorted(os.listdir(tempfile.gettempdir())),
    }
    if sys.platform == "linux":
        found["memory with a name"] = [name for name in os.listdir("/dev/shm") if OURS in name]
        targets = [_target(number) for number in os.listdir("/proc/self/fd")]
        found["descriptors"] = sorted(
            target for target in targets if target.startswith(("socket:", MEMORY, "/dev/shm"))
        )
        with open("/proc/self/maps", encoding="utf-8") as maps:
            found["mapped"] = sum(MEMORY in line or "/dev/shm/" in line for line in maps)
    return found


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Hold the body to it: what it opened is gone soon after. Its files lie in `folder`."""
    usual, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield from _watched()
    finally:
        tempfile.tempdir = usual


def _watched() -> Iterator[None]:
    before = open_things()
    yield
    deadline = time.monotonic() + PATIENCE
    while (after := open_things()) != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert after == before
