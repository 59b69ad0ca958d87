"""Ring allreduce: 2 (P - 1) steps, 2 S (P - 1) / P bytes sent a rank, whatever the number of ranks.

# P ranks, S bytes in P chunks. Rank r sends to r + 1 and receives from r - 1, all modulo P.

Reduce-scatter, steps 0 .. P - 2: rank r sends chunk r - 1 - step and adds what arrives to its own
chunk r - 2 - step. A chunk c so starts at rank c + 1, collects one term a step and is complete at
rank c. Allgather, steps P - 1 .. 2 P - 3: the same walk, and what arrives replaces. Whoever sends
a chunk has received it one step earlier, so the ring is one stream:

    to the right   chunk r - 1 | r - 2 | ... | r + 1 | r     | r - 1 | ... | r + 2
    from the left  chunk r - 2 | r - 3 | ... | r     | r - 1 | r - 2 | ... | r + 1
                   `- added to what is here -----'   `- replaces what is here ---'

Chunks travel as segments; a segment is reduced and sent on as soon as it is there, while the rest
of its chunk still arrives. The sum of chunk c is ((x[c+1] + x[c+2]) + ...) + x[c]: a fixed order,
computed on one rank and copied to the others, so that all ranks hold the same bits, every time.

With `compress` the terms and sums of float32 travel in 2 bytes (compression.py). They are added in
float32 and rounded for each link: r(r(r(x[c+1]) + x[c+2]) + ...) + x[c] is what rank c comes to,
and it rounds this once more, for itself and all others. What then walks on is copied, not rounded
again, so that all ranks hold the same bits here too.

After Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms (2009).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.errors import CommunicationError

from .communicator import Array, Communicator, chunk_bounds, flat_view
from .compression import WAYS, Rounding, check_compression
from .frames import CHECKED, DTYPES, ROUNDED, Frame, Kind, make_frame
from .transport import Transport
from .walks import Segment, Walk, chunks_of_parts, segments_of, walk_round

SEGMENT_BYTES = 512 * 1024


class RingCommunicator(Communicator):
    """The collectives over a transport to the right and from the left; owns the transport.

    With `crc` every payload carries its CRC-32 and is checked; all ranks must agree on it, and on
    `segment_bytes`. What is kept between calls is one segment of scratch memory; once `compress`
    has been asked for, a second one and half the memory of the largest array too.
    """

    def __init__(
        self,
        transport: Transport,
        rank: int,
        world_size: int,
        *,
        crc: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """`segment_bytes` is a multiple of 8, the largest element."""
        self.rank = rank
        self.world_size = world_size
        self._transport = transport
        self._flags = CHECKED if crc else 0
        self._segment_bytes = segment_bytes
        self._scratch = np.empty(segment_bytes, np.uint8)
        self._roundings: dict[str, Rounding] = {}
        self._halves = np.empty(0, np.uint16)
        self._sequence = 0

    def allreduce(self, array: Array, cuts: Sequence[int] = (), compress: str = "none") -> None:
        """2 (P - 1) steps; each rank sends 2 S (P - 1) / P bytes, half of that with `compress`.

        With `cuts` chunk c is made of chunk c of every part.
        """
        flat = flat_view(array)
        parts = chunks_of_parts(flat.size, tuple(cuts), self.world_size)
        rounding = self._rounding(compress) if flat.dtype == np.float32 else None
        steps = 2 * (self.world_size - 1)
        self._pass_round(Kind.ALLREDUCE, flat, parts, self.rank - 1, steps, rounding)

    def reduce_scatter(self, array: Array, parts: Sequence[Sequence[int]] = ()) -> Array:
        """P - 1 steps; each rank sends S (P - 1) / P bytes.

        `parts`: the bounds of the chunks of each part of `array`, where they are not those of
        `chunk_bounds`. What it returns is the chunk of the first part.
        """
        flat = flat_view(array)
        parts = parts or [chunk_bounds(flat.size, self.world_size)]
        self._pass_round(Kind.REDUCE_SCATTER, flat, parts, self.rank - 1, self.world_size - 1)
        return flat[parts[0][self.rank] : parts[0][self.rank + 1]]

    def allgather(self, array: Array, parts: Sequence[Sequence[int]] = ()) -> None:
        """P - 1 steps; each rank sends S (P - 1) / P bytes. `parts` as in reduce_scatter."""
        flat = flat_view(array)
        parts = parts or [chunk_bounds(flat.size, self.world_size)]
        self._pass_round(Kind.ALLGATHER, flat, parts, self.rank, self.world_size - 1)

    def allgather_bytes(self, content: bytes) -> list[bytes]:
        """Two allgathers: the lengths, then the contents."""
        lengths = np.zeros(self.world_size, np.int64)
        lengths[self.rank] = len(content)
        self.allgather(lengths)
        bounds = [0, *np.cumsum(lengths).tolist()]
        everything = np.empty(bounds[-1], np.uint8)
        everything[bounds[self.rank] : bounds[self.rank + 1]] = np.frombuffer(content, np.uint8)
        self._pass_round(Kind.ALLGATHER, everything, [bounds], self.rank, self.world_size - 1)
        return [
            everything[bounds[rank] : bounds[rank + 1]].tobytes() for rank in range(self.world_size)
        ]

    def broadcast(self, array: Array, root: int = 0) -> None:
        """One walk from the root to its left neighbour; every other rank sends on what arrives."""
        if not 0 <= root < self.world_size:
            raise CommunicationError(
                f"rank {self.rank}: no rank {root} to broadcast from (there are {self.world_size})"
            )
        flat = flat_view(array)
        segments = self._whole(flat)
        to_right = [] if self.rank == (root - 1) % self.world_size else segments
        from_left = [] if self.rank == root else segments
        walk = Walk(to_right, from_left, len(segments) - len(from_left))
        self._run(Kind.BROADCAST, flat, walk)

    def add_to(self, array: Array, source: int, target: int) -> None:
        """One walk from `source` to `target`, S bytes a link; the ranks between pass them on."""
        hops = (target - source) % self.world_size
        place = (self.rank - source) % self.world_size
        flat = flat_view(array)
        segments = self._whole(flat) if place <= hops else []
        to_right = segments if place < hops else []
        from_left = segments if place > 0 else []
        if 0 < place < hops:
            flat = np.empty_like(flat)  # what is on its way
        reduced = len(from_left) if place == hops else 0
        walk = Walk(to_right, from_left, len(segments) - len(from_left), reduced)
        self._run(Kind.ADD_TO, flat, walk)

    def barrier(self) -> None:
        """P - 1 steps of empty frames: the last one here has been delayed by every rank."""
        tokens = [(0, 0, 0)] * (self.world_size - 1)
        self._run(Kind.BARRIER, np.empty(0, np.uint8), Walk(tokens, tokens, 1))

    def close(self) -> None:
        """Close both links."""
        self._transport.close()

    def _pass_round(
        self,
        kind: Kind,
        flat: Array,
        parts: Sequence[Sequence[int]],
        first: int,
        steps: int,
        rounding: Rounding | None = None,
    ) -> None:
        """Send chunks first, first - 1, ... while chunks first - 1, first - 2, ... arrive.

        An allgather begins with this rank's own chunk; what is reduced first begins one before,
        so that this rank's own chunk is the last that it adds to, in step P - 2.
        """
        step = self._segment_bytes // flat.itemsize
        reduces = kind is not Kind.ALLGATHER
        bounds = tuple(map(tuple, parts))
        walk = walk_round(bounds, first, steps, self.world_size, step, reduces)
        self._run(kind, flat, walk, rounding)

    def _run(self, kind: Kind, flat: Array, walk: Walk, rounding: Rounding | None = None) -> None:
        """One collective: send the walk's segments to the right, take in those from the left.

        The first `walk.reduced` of these arrive in the scratch memory and are added to what is
        here; the others arrive where they belong. Counts the payloads in `bytes_sent`, and the
        collective in the sequence number of its frames. Whatever goes wrong, both links are closed,
        so that the neighbours know.
        """
        to_right, from_left, lead, reduced = walk
        carried, dtype = flat, DTYPES[flat.dtype]
        if rounding is not None:
            carried, dtype = self._rounded(flat, to_right[:lead], rounding), ROUNDED[rounding.name]
        scratch = self._scratch.view(carried.dtype)
        memory, size = carried.view(np.uint8).data, carried.itemsize
        outgoing = self._frames(kind, dtype, memory, size, to_right)
        awaited = self._frames(kind, dtype, memory, size, from_left, reduced)
        try:
            for arrived in self._transport.sendrecv(outgoing, awaited, lead):
                chunk, start, end = from_left[arrived]
                here = flat[start:end]
                if rounding is not None:
                    term = scratch[: end - start] if arrived < reduced else None
                    _take_rounded(rounding, term, here, carried[start:end], chunk == self.rank)
                elif arrived < reduced:
                    np.add(here, scratch[: end - start], out=here)
        except BaseException:
            self.close()
            raise
        self.bytes_sent += sum(len(frame.payload) for frame in outgoing)
        self._sequence += 1

    def _frames(
        self,
        kind: Kind,
        dtype: int,
        memory: memoryview,
        size: int,
        segments: Sequence[Segment],
        reduced: int = 0,
    ) -> list[Frame]:
        """The frames of these segments of elements of `size` bytes.

        The first `reduced` of them lie in the scratch memory.
        """
        tag = kind | self._flags
        sequence, iteration, scratch = self._sequence, self.iteration, self._scratch.data
        frames = []
        for number, (chunk, start, end) in enumerate(segments):
            if number < reduced:
                payload = scratch[: (end - start) * size]
            else:
                payload = memory[start * size : end * size]
            frames.append(make_frame(tag, dtype, chunk, number, sequence, iteration, payload))
        return frames

    def _whole(self, flat: Array) -> list[Segment]:
        """The segments of an array that is one chunk."""
        return segments_of([(0, flat.size)], [0], self._segment_bytes // flat.itemsize)

    def _rounding(self, compress: str) -> Rounding | None:
        """What rounds, with its scratch memory. Raises CommunicationError."""
        if compress == "none":
            return None
        check_compression(compress)
        if compress not in self._roundings:
            self._roundings[compress] = WAYS[compress](self._segment_bytes // 4)
        return self._roundings[compress]

    def _rounded(self, flat: Array, lead: Sequence[Segment], rounding: Rounding) -> Array:
        """Memory for all of `flat` in halves, with those of the first segments to go."""
        if self._halves.size < flat.size:
            self._halves = np.empty(flat.size, np.uint16)
        for _, start, end in lead:
            rounding.encode(flat[start:end], self._halves[start:end])
        return self._halves[: flat.size]


def _take_rounded(
    rounding: Rounding, term: Array | None, here: Array, there: Array, complete: bool
) -> None:
    """Add a rounded term to what is `here`, or replace it by the sum that has come `there`.

    `there` is what walks on; where the sum is `complete` this rank takes its rounded one too.
    """
    if term is not None:
        rounding.add(term, here)
        rounding.encode(here, there)
    if term is None or complete:
        rounding.decode(there, here)
