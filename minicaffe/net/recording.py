"""Recording: a forward of phase TEST that is made again without the Python between its kernels.

For one image, a layer's kernel often takes less time than what leads to it: shapes are looked at,
arrays asked for, plans found, arguments put together. All of it gives the same the next time,
unless something has changed that it looks at. So while a pass runs whose like has run before, the
kernel calls of its layers are written down, each with its arguments, and from then on a layer's
turn is these calls:

    pass 1   reshape, forward        what is kept of the parameters is prepared, memory grows
    pass 2   reshape, forward        and the kernel calls are written down
    pass 3   the calls ...           as long as the pass is of the same kind

Of the same kind are passes over the same layers, by the same thread and on as many, between which
no array anywhere took another shape or memory (`storage.moves`), and the parameters hold the same
values (`loans.py`).

Only layers whose type says so (`Layer.steady`) take part, on devices that know how to write calls
down: those that have a kernel family `recording`, with the function

    record(run) -> calls | None      run(), and the kernel calls that it made, to be made again

All other layers run as ever between them. Where one of these moves an array, as a layer of data
does for a batch of another size, or changes parameters, those after it run as ever too; so does
everything while a callback watches, and with files of MINICAFFE_PATH, which may be anything.

A layer whose kernels are not only those of the device (half of one was written anew in NumPy, say)
would lose a part of its work. So the calls are tried when they have been written down: made again,
from the same bottoms, they must give the same tops, bit for bit, or the layer runs as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import get_ident
from typing import Any

import numpy as np

from .. import overlay
from ..blob import Blob
from ..device import known_families, load_kernel
from ..kept import allowed
from ..layer import Layer
from ..loans import Loans
from ..machine.threads import num_threads
from ..proto import minicaffe_pb2 as pb
from ..storage import moves
from .fusion import Group
from .node import Node

Call = Callable[[], None]
Kind = tuple[Any, ...]


def do_nothing() -> None:
    """The turn of a layer that has none: it moves nothing, or runs with those after it."""


class Recording:
    """The calls of a net's latest kind of pass, by the layers' indices."""

    def __init__(self, nodes: Sequence[Node], groups: Sequence[Group], phase: int, device: str):
        self.nodes = nodes
        self.able: set[int] = set()  # the layers that take part
        self.grouped: dict[int, Group] = {}
        self._seen: Kind | None = None  # of the latest pass, as it was at its end
        self._recorded: Kind | None = None
        self._calls: dict[int, Call] = {}
        self._moves = -1
        self._loans: Sequence[Loans | None] = ()
        known = "recording" in known_families(device)
        if phase != pb.TEST or not known or not allowed() or overlay.folders():
            return
        self.record = load_kernel("recording", device).record
        for group in groups:
            self.grouped |= dict.fromkeys(range(group.first, group.last + 1), group)
        for index, node in enumerate(nodes):
            together = self.grouped[index].nodes if index in self.grouped else [node]
            if all(_steady(each, device) for each in together):
                self.able.add(index)

    def of_pass(self, start: int, last: int, turn: Callable[[int], None]) -> dict[int, Call]:
        """What to call in place of a layer's `turn`, by index; `done` must follow."""
        kind = self._kind(start, last)
        if kind is not None and kind == self._recorded:
            return self._calls
        self._recorded, self._calls = None, {}
        if kind is None or kind != self._seen:
            return {}
        self._recorded = kind
        able = self.able.intersection(range(start, last + 1))
        return {index: partial(self._write_down, index, turn) for index in able}

    def holds(self) -> bool:
        """Whether the pass is still of the kind that it began as."""
        return self._recorded is None or self._kind(*self._recorded[:2]) == self._recorded

    def done(self, start: int, last: int) -> None:
        """A pass has come to its end; where it was not of one kind all the time, it is not kept."""
        self._seen = self._kind(start, last)
        if self._seen != self._recorded:
            self._recorded, self._calls = None, {}

    def failed(self) -> None:
        """A pass has ended in the middle."""
        self._seen = self._recorded = None
        self._calls = {}

    def _write_down(self, index: int, turn: Callable[[int], None]) -> None:
        """A layer's turn, and from the next pass on its calls in place of it."""
        first = self.grouped[index].first if index in self.grouped else index
        tops = self.nodes[index].tops
        memory = {id(top.data.storage) for top in tops}
        bottoms = (*self.nodes[first].bottoms, *self.nodes[index].bottoms)
        lost = [blob for blob in bottoms if id(blob.data.storage) in memory]  # it works in place
        before = [(blob, blob.data.read("cpu").copy()) for blob in lost]
        calls = self.record(partial(turn, index))
        if calls:
            call = calls[0] if len(calls) == 1 else partial(_make, calls)
            if _gives_the_same(call, tops, before):
                self._calls[index] = call
        elif calls is not None and self.nodes[index].kind.shares:
            self._calls[index] = do_nothing

    def _kind(self, start: int, last: int) -> Kind | None:
        """What passes have in common whose calls are the same; None where that is not known."""
        if not self.able:
            return None
        if self._moves != moves():
            self._moves = moves()
            self._loans = self._loans_now()
        versions = []
        for loans in self._loans:
            if loans is None or loans.any:
                return None
            versions.append(loans.version)
        return (start, last, self._moves, get_ident(), num_threads(), versions)

    def _loans_now(self) -> Sequence[Loans | None]:
        """Of the buffers that the parameters lie in: one, where no net shares with another."""
        blobs = (blob for node in self.nodes for blob in node.blobs)
        return tuple({id(blob.data.storage): blob.data.storage.loans for blob in blobs}.values())


def _make(calls: Sequence[Call]) -> None:
    for call in calls:
        call()


def _gives_the_same(call: Call, tops: Sequence[Blob], before: Sequence[tuple[Blob, Any]]) -> bool:
    """Whether a call gives the tops that are there, where some blobs hold what they held before.

    Either way the tops hold afterwards what they hold now.
    """
    results = [top.data.update("cpu") for top in tops]
    expected = [result.copy() for result in results]
    for result in results:
        result.fill(np.nan)
    for blob, values in before:
        blob.data.update("cpu")[...] = values
    call()
    pairs = list(zip(results, expected, strict=True))
    same = all(a.tobytes() == b.tobytes() for a, b in pairs)
    for result, values in pairs:
        result[...] = values
    return same


def _steady(node: Node, device: str) -> bool:
    return node.kind is not Layer and node.kind.steady and node.layer.device == device
