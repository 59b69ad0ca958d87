"""What the installed ring does, step by step: a real allreduce among threads, written down.

Rank r brings 32^r in every element. So an element is a number in base 32 whose digit r says how
often the term of rank r is inside: once in a sum, never before it has arrived, twice where a ring
adds something twice. Every frame passes `sendrecv` of the in-process transport, which is
wrapped meanwhile; what the arrays hold between two steps is read there.

The ring is the one that imports find, so one on MINICAFFE_PATH too. The core reaches this room by
name only, as it does devices and layers.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..door import open_module, where
from ..errors import CommunicationError, DeviceError, shown

MOST_RANKS = 12  # as many digits has an int64
BITS = 5  # of a digit
ELEMENTS = 4  # of a chunk
PATIENCE = 20.0  # seconds without a frame before a rank of a whole ring gives up
SHORT_PATIENCE = 0.5  # the same with a rank that is silent
LONGEST = 60.0  # seconds for everything, should a ring wait for something else

# How often the term of each rank is inside a chunk; empty where its elements do not agree.
Terms = tuple[int, ...]
State = tuple[Terms, ...]


@dataclass(frozen=True)
class Fault:
    """What happens to a rank instead of one of its steps."""

    kind: Literal["dies", "silent"]
    rank: int
    step: int


@dataclass(frozen=True)
class Sent:
    """A frame to the right neighbour: its chunk, what is inside, and its bytes."""

    chunk: int
    terms: Terms
    bytes: int


@dataclass
class Move:
    """A step of one rank: what it sends, the number of what arrives (-1: none), and then has."""

    sent: tuple[Sent, ...]
    arrived: int = -1
    state: State = ()


@dataclass
class Run:
    """An allreduce of `bytes` bytes: the moves of each rank, and what each said in the end.

    `start` and `end`: what the arrays of the ranks held before and afterwards.
    """

    fault: Fault | None
    bytes: int
    start: tuple[State, ...]
    moves: tuple[list[Move], ...]
    end: tuple[State, ...]
    said: list[str] = field(default_factory=list)
    file: str = ""
    seconds: float = 0.0


class _Ended(Exception):
    """A rank that is no more."""


class Recorder:
    """Writes down what passes `sendrecv` on the threads that it knows."""

    def __init__(self, arrays: Sequence[NDArray[np.int64]], fault: Fault | None) -> None:
        self._arrays = arrays
        self._fault = fault
        self._here = threading.local()
        self.moves: tuple[list[Move], ...] = tuple([] for _ in arrays)
        self.others_ended = threading.Event()

    @contextlib.contextmanager
    def as_rank(self, rank: int) -> Iterator[None]:
        """This thread is a rank."""
        self._here.rank = rank
        try:
            yield
        finally:
            del self._here.rank

    @contextlib.contextmanager
    def watching(self, transport: Any) -> Iterator[None]:
        """Wrap `sendrecv` of a class of transports."""
        plain = transport.sendrecv

        def sendrecv(self_: Any, to_right: Any, from_left: Any, lead: int) -> Iterator[int]:
            arrivals = plain(self_, to_right, from_left, lead)
            rank = getattr(self._here, "rank", None)
            return arrivals if rank is None else self._watch(rank, arrivals, to_right, lead)

        transport.sendrecv = sendrecv
        try:
            yield
        finally:
            transport.sendrecv = plain

    def _watch(
        self, rank: int, arrivals: Iterator[int], to_right: Sequence[Any], lead: int
    ) -> Iterator[int]:
        """The arrivals, with a move written down for each; the fault in its place."""
        moves, gone = self.moves[rank], 0
        while True:
            self._befall(rank, len(moves))
            end = min(lead, len(to_right))
            sent = tuple(map(_sent, to_right[gone:end]))
            gone, lead = max(gone, end), lead + 1
            if sent:  # what goes before an arrival that never comes is seen too
                moves.append(Move(sent, state=state_of(self._arrays[rank], len(self._arrays))))
            arrived = next(arrivals, None)
            if arrived is None:
                return
            if not sent:
                moves.append(Move(()))
            yield arrived
            moves[-1].arrived = arrived
            moves[-1].state = state_of(self._arrays[rank], len(self._arrays))

    def _befall(self, rank: int, step: int) -> None:
        fault = self._fault
        if fault is None or (rank, step) != (fault.rank, fault.step):
            return
        if fault.kind == "silent":
            self.others_ended.wait(LONGEST)
            raise _Ended(f"rank {rank} says nothing any more")
        raise _Ended(f"rank {rank} is gone")


def record(world_size: int, fault: Fault | None = None) -> Run:
    """An allreduce of `world_size` ranks. Raises CommunicationError where the ring does not run."""
    if not 2 <= world_size <= MOST_RANKS:
        raise CommunicationError(f"a ring of {world_size}: 2 to {MOST_RANKS} ranks can be shown")
    count = ELEMENTS * world_size
    arrays = [np.full(count, 1 << (BITS * rank), np.int64) for rank in range(world_size)]
    start = _states(arrays)
    recorder = Recorder(arrays, fault)
    began = time.monotonic()
    with recorder.watching(_room("transport.inproc").InprocTransport):
        ends = _all_ranks(_ranks(recorder, arrays, fault), recorder, fault)
    seconds = time.monotonic() - began
    run = Run(fault, arrays[0].nbytes, start, recorder.moves, _states(arrays), seconds=seconds)
    run.file = shown(_room("ring").__file__ or "")
    for rank, end in enumerate(ends):
        run.said.append(_said(rank, end))
    if not any(run.moves):
        first = next((text for text in run.said if text), "no frame passed")
        raise CommunicationError(f"the ring of {run.file} does not run: {first}")
    return run


def _ranks(
    recorder: Recorder, arrays: Sequence[NDArray[np.int64]], fault: Fault | None
) -> list[Callable[[], None]]:
    """What the thread of each rank does: connect, and the allreduce."""
    rendezvous = _room("rendezvous")
    size = len(arrays)
    meeting = rendezvous.ThreadRendezvous.of(size, timeout=PATIENCE)
    timeout = SHORT_PATIENCE if fault else PATIENCE

    def rank_of(rank: int) -> Callable[[], None]:
        def work() -> None:
            settings = {"secret": b"of the view", "timeout": timeout, "doubling_bytes": 0}
            url = "inproc://inspect"
            with (
                rendezvous.connect(meeting[rank], rank, size, url, **settings) as ring,
                recorder.as_rank(rank),
            ):
                ring.allreduce(arrays[rank])

        return work

    return [rank_of(rank) for rank in range(size)]


def _all_ranks(
    works: Sequence[Callable[[], None]], recorder: Recorder, fault: Fault | None
) -> list[BaseException | None]:
    """How each ended: with what it raised, or None."""
    ends: list[BaseException | None] = [None] * len(works)

    def guarded(rank: int) -> None:
        try:
            works[rank]()
        except BaseException as error:
            ends[rank] = error

    threads = [
        threading.Thread(target=guarded, args=(rank,), daemon=True) for rank in range(len(works))
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LONGEST
    others = [thread for rank, thread in enumerate(threads) if not fault or rank != fault.rank]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    recorder.others_ended.set()
    for thread in threads:
        thread.join(max(1.0, deadline - time.monotonic()))
    stuck = [rank for rank, thread in enumerate(threads) if thread.is_alive()]
    if stuck:
        raise CommunicationError(f"ranks {stuck} did not end within {LONGEST:.0f} s")
    return ends


def _said(rank: int, end: BaseException | None) -> str:
    """What a rank said in the end, in a line; nothing where all went well."""
    if end is None:
        return ""
    if isinstance(end, CommunicationError | _Ended):
        return str(end)
    place = where(end.__traceback__)
    return f"rank {rank}: {place}: {type(end).__name__}: {' '.join(str(end).split())}"


def _states(arrays: Sequence[NDArray[Any]]) -> tuple[State, ...]:
    return tuple(state_of(array, len(arrays)) for array in arrays)


def state_of(array: NDArray[Any], world_size: int) -> State:
    """What is inside each chunk of an array."""
    bounds = [array.size * rank // world_size for rank in range(world_size + 1)]
    return tuple(
        _terms(array[bounds[rank] : bounds[rank + 1]], world_size) for rank in range(world_size)
    )


def _terms(chunk: NDArray[Any], world_size: int) -> Terms:
    if chunk.size == 0 or not bool(np.all(chunk == chunk[0])):
        return ()
    value = int(chunk[0])
    return tuple((value >> (BITS * rank)) & ((1 << BITS) - 1) for rank in range(world_size))


def _sent(frame: Any) -> Sent:
    """A frame as it goes; where its chunk stands in the header says distributed/frames.py."""
    payload = np.frombuffer(frame.payload, np.int64)
    chunk = int.from_bytes(frame.header[6:8], "big")
    return Sent(chunk, _terms(payload, MOST_RANKS), payload.nbytes)


def _room(name: str) -> Any:
    """A module of the room `distributed`."""
    full = f"minicaffe.distributed.{name}"
    return sys.modules.get(full) or open_module(full, DeviceError)
