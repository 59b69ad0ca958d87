"""An opened card: its protection domain, and the memory that the card may read and write.

Registering memory pins its pages and tells the card where they are; it takes as long as a copy of
them or longer, so it is done once for each array. What is registered is the whole array that a
frame is a piece of. The array is not kept alive for it: when it goes, so does its registration.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import CommunicationError

from .cards import Card
from .library import open_context, verbs

_open: dict[tuple[int, Card], Device] = {}
_lock = threading.RLock()  # the end of an array may come while it is held


class Place(NamedTuple):
    """Memory as the card knows it. Who uses it keeps `owner` until the card is done."""

    address: int
    key: int  # of this side
    remote_key: int  # of the neighbour
    owner: object


class Device:
    """A card as this process has opened it, once for all its links; see `opened`."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self._users = 0
        self._regions: dict[tuple[int, int, bool], tuple[Any, Any]] = {}
        library = verbs()
        try:
            self.context = open_context(card.device)
            self.domain = library.PD(self.context)
            self.port = self.context.query_port(card.port)
            self.gid = str(self.context.query_gid(card.port, card.gid))
        except library.PyverbsError as error:
            raise CommunicationError(f"cannot open the RDMA card {card}: {error}") from error

    @property
    def registered(self) -> int:
        """How many arrays the card knows at present."""
        return len(self._regions)

    def place(self, memory: memoryview) -> Place:
        """Where the card finds this memory, registered if it is not yet.

        Raises CommunicationError.
        """
        flat = np.frombuffer(memory, np.uint8)
        owner = _owner(memory, flat)
        start, size = owner.ctypes.data, owner.nbytes
        if not start <= flat.ctypes.data <= start + size - flat.nbytes:  # an odd view
            owner, start, size = flat, flat.ctypes.data, flat.nbytes
        key = start, size, owner.flags.writeable
        with _lock:
            held = self._regions.get(key)
            if held is None or held[1]() is not owner:
                self._forget(key)
                region = self._register(*key)
                end = weakref.ref(owner, lambda _: self._forget(key))
                held = self._regions[key] = region, end
        return Place(flat.ctypes.data, held[0].lkey, held[0].rkey, owner)

    def _register(self, start: int, size: int, writeable: bool) -> Any:
        library = verbs()
        access = 0
        if writeable:
            access = library.enums.IBV_ACCESS_LOCAL_WRITE | library.enums.IBV_ACCESS_REMOTE_WRITE
        try:
            return library.MR(self.domain, size, access, address=start)
        except library.PyverbsError as error:
            raise CommunicationError(
                f"cannot register {size} bytes with {self.card.device}: {error}{_advice(error)}"
            ) from error

    def _forget(self, key: tuple[int, int, bool]) -> None:
        """Deregister, if it is registered."""
        with _lock:
            region, _ = self._regions.pop(key, (None, None))
            if region is not None:
                region.close()

    def release(self) -> None:
        """One user less; the last one closes the card."""
        with _lock:
            self._users -= 1
            if self._users:
                return
            _open.pop((os.getpid(), self.card), None)
            for key in list(self._regions):
                self._forget(key)
            with contextlib.suppress(verbs().PyverbsError):  # a card that has been taken away
                self.domain.close()
                self.context.close()


def opened(card: Card) -> Device:
    """The card, opened by now, for one user more, who calls `release` in the end.

    Raises CommunicationError. A process that was forked opens its own.
    """
    with _lock:
        key = os.getpid(), card
        device = _open.get(key) or Device(card)
        _open[key] = device
        device._users += 1
        return device


def _owner(memory: memoryview, flat: NDArray[Any]) -> NDArray[Any]:
    """The array that has the memory to which `memory` belongs, or a view of just that."""
    owner = memory.obj if isinstance(memory.obj, np.ndarray) else flat
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return owner if owner.flags.c_contiguous or owner.flags.f_contiguous else flat


def _advice(error: Exception) -> str:
    """What to do when there is not enough memory that may be locked."""
    if getattr(error, "error_code", None) not in (errno.ENOMEM, errno.EAGAIN, errno.EPERM):
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY:
        return "; the memory of this machine that may be locked is used up"
    return (
        f"; this process may lock {limit >> 10} KiB of memory (ulimit -l): raise memlock in "
        "/etc/security/limits.conf, a service's LimitMEMLOCK=, a container's --ulimit memlock=-1"
    )
