"""The memory of arrays: a flat buffer with a copy in each place, and which of them is newest."""

from __future__ import annotations

from typing import Any

from .device import load_kernel
from .loans import Loans
from .machine.free_memory import zeros

_moves = 0


def moves() -> int:
    """How often any array of the process has taken another shape, memory or place so far."""
    return _moves


def moved() -> None:
    """Note that an array did so: what refers to arrays and their memory may no longer hold."""
    global _moves
    _moves += 1


class Storage:
    """One flat float32 buffer with a copy in each place that asked for one, zero at first.

    `newest` holds the places whose copy is up to date (Caffe's SyncedMemory, for any number of
    devices), `only` the one place if there is no other. A place other than "host" is a device that
    has a file `memory.py` (`device.py` says what is in it).
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.copies: dict[str, Any] = {}
        self.newest: set[str] = set()
        self.only = ""
        self.loans: Loans | None = None  # of parameters: who may write, and when somebody has

    def get(self, where: str, *, load: bool, modify: bool) -> Any:
        """The copy at a place: `load` brings it up to date, `modify` makes the others stale."""
        if where != "host":
            moved()
        if where not in self.copies:
            self.copies[where] = self._allocate(where)
        if load and self.newest and where not in self.newest:
            self._transfer(next(iter(self.newest)), where)
        if modify or not self.newest:
            self.newest = {where}
        else:
            self.newest.add(where)
        self.only = where if len(self.newest) == 1 else ""
        return self.copies[where]

    def _allocate(self, where: str) -> Any:
        if where == "host":
            return zeros(self.count)
        return load_kernel("memory", where).allocate(self.count, where)

    def _transfer(self, source: str, target: str) -> None:
        if source != "host":
            if "host" not in self.copies:
                self.copies["host"] = self._allocate("host")
            load_kernel("memory", source).download(self.copies[source], self.copies["host"])
            self.newest.add("host")
        if target != "host":
            load_kernel("memory", target).upload(self.copies["host"], self.copies[target])
