"""Batches on their way to a device while it computes, if its `memory.py` knows such a way.

It then has two functions more: `stage(host, device)` begins to bring an array there, and returns
something for it, from any thread; `unstage(staged, array)` writes it into an array, before the
kernels that are launched afterwards.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..blob import SyncedArray
from ..device import load_kernel, place


def stager(device: str) -> Callable[[Any], Any] | None:
    """What begins to bring an array to a device; None where there is no such way."""
    if place(device) == "host":
        return None
    stage = getattr(load_kernel("memory", device), "stage", None)
    return stage and partial(stage, device=device)


def unstage(staged: Any, array: SyncedArray, device: str) -> None:
    """Overwrite an array, on its device, with what was staged for it."""
    load_kernel("memory", device).unstage(staged, array.write(device))
