"""Which ranks reach each other without a network: those of one kernel and one network namespace.

Containers of a machine have a namespace each as a rule, and then are hosts of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import uuid
from functools import cache

_FACTS = ("/proc/sys/kernel/random/boot_id", "/etc/machine-id")
DRAWN = 1 << 40  # a process that finds no network card draws a number, and marks it so


@cache
def host_id() -> str:
    """16 hexadecimal digits that all processes of this host have in common, and no other host."""
    facts = [socket.gethostname()]
    if not (card := uuid.getnode()) & DRAWN:
        facts.append(str(card))
    for path in _FACTS:
        try:
            with open(path, encoding="ascii") as file:
                facts.append(file.read().strip())
        except OSError:
            continue
    with contextlib.suppress(OSError):  # not Linux: there are no namespaces
        facts.append(str(os.stat("/proc/self/ns/net").st_ino))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
