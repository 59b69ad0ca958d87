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
does for a batch of another size, those after it run as ever too; so does everything while a
callback watches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import get_ident
from typing import Any

from .. import overlay
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
        self._seen: Kind | None = None  # of the latest pass, as it was at its end
        self._recorded: Kind | None = None
        self._calls: dict[int, Call] = {}
        self._moves = -1
        self._loans: Sequence[Loans | None] = ()
        if phase != pb.TEST or not allowed() or "recording" not in known_families(device):
            return
        self.record = load_kernel("recording", device).record
        grouped = {group.first + i: group for group in groups for i in range(len(group.nodes))}
        for index, node in enumerate(nodes):
            group = grouped.get(index)
            if _steady(node, device) and (group is None or _all_steady(group, device)):
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
        """Whether no array has moved since the pass began, as a layer of data moves its tops."""
        return self._moves == moves()

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
        calls = self.record(partial(turn, index))
        if calls:
            self._calls[index] = calls[0] if len(calls) == 1 else partial(_make, calls)
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


def _all_steady(group: Group, device: str) -> bool:
    return all(_steady(node, device) for node in group.nodes)


def _steady(node: Node, device: str) -> bool:
    """Whether a layer's calls can be written down: a file of MINICAFFE_PATH may be anything."""
    layer = node.layer
    if node.kind is Layer or not node.kind.steady or layer.device != device:
        return False
    if not overlay.folders():
        return True
    modules = {base.__module__ for base in type(layer).__mro__}
    modules.update(layer.ops_of(family).__name__ for family in layer.kernels)
    return not any(overlay.is_overlaid(name) for name in modules if name.startswith("minicaffe."))
