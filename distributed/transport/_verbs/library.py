"""pyverbs, under the names of either version: 44 (Debian 12) to 59; no other file knows of them.

The enumerations were in `pyverbs.enums`, newer versions have them in `pyverbs.libibverbs_enums`.
The completion channel has told its file descriptor since 59; before, one looks for what is new.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from types import SimpleNamespace
from typing import Any

_CLASSES = {
    "device": ("Context",),
    "pd": ("PD",),
    "mr": ("MR",),
    "cq": ("CompChannel", "CQ"),
    "qp": ("QP", "QPAttr", "QPCap", "QPInitAttr"),
    "addr": ("AHAttr", "GID", "GlobalRoute"),
    "wr": ("RecvWR", "SendWR", "SGE"),
    "pyverbs_error": ("PyverbsError",),
}

_one_at_a_time = threading.Lock()


@functools.cache
def verbs() -> Any:
    """The classes of pyverbs by their names, and `enums`. Raises ImportError."""
    found = SimpleNamespace()
    for module, names in _CLASSES.items():
        there = importlib.import_module(f"pyverbs.{module}")
        for name in names:
            setattr(found, name, getattr(there, name))
    try:
        found.enums = importlib.import_module("pyverbs.enums")
    except ModuleNotFoundError:
        found.enums = importlib.import_module("pyverbs.libibverbs_enums")
    return found


def new_channel(context: Any) -> tuple[Any, int]:
    """A completion channel and its file descriptor. Raises PyverbsError.

    Nothing else in this process may make one at the same time, other threads of ours do not.
    """
    with _one_at_a_time:
        before = _event_files()
        channel = verbs().CompChannel(context)
        number = getattr(channel, "fd", None)
        if number is None:
            (number,) = _event_files() - before
    return channel, int(number)


def open_context(name: str) -> Any:
    """A device by its name; it has a file of events as well. Raises PyverbsError."""
    with _one_at_a_time:
        return verbs().Context(name=name)


def status_name(status: int) -> str:
    """What the verbs call the status of a work completion: "IBV_WC_RETRY_EXC_ERR"."""
    name: str
    for name, value in vars(verbs().enums).items():
        if name.startswith("IBV_WC_") and name.endswith("_ERR") and int(value) == status:
            return name
    return f"status {status}"


def _event_files() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if "infinibandevent" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(int(name))
        except OSError:  # closed meanwhile
            continue
    return found
