"""allreduce: every rank takes the mean of all ranks' gradients, in every iteration. The default.

# P ranks, S bytes of gradients:  2 S (P - 1) / P bytes sent a rank and iteration, in
# 2 (P - 1) messages a bucket (the ring's: see ring.py)

    solver    backward: layer 9 | layer 8 | layer 7 | layer 6 | ...      | layer 0 | wait
    thread                                          | bucket of layers 7 to 9 | bucket of the rest

A bucket is a slice of the flat diff; it goes out when backward has left its layers. That hides the
communication behind the backward pass if somebody else does it: a network, or a core that is free.
Where the ranks of one machine keep all its cores busy the thread only takes them their time, so all
buckets go at the end, in one walk round the ring. Elsewhere it depends on the net, the network and
whose cores serve it: the first iterations take both ways in turn, and the faster one stays.

The boundaries of the buckets follow from the net alone, and sums are formed in the same order
whenever the buckets go: the same bits, in every run. The weights of all ranks are bit-equal after
every update.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.device import place
from minicaffe.machine.threads import num_threads, usable_cpus
from minicaffe.net.net import Net
from minicaffe.solver.callbacks import Iteration
from minicaffe.solver.solver import Solver

from ..communicator import Communicator
from ..compression import COMPRESSIONS
from . import Parameter, Sync, whole_number
from ._trial import Trial

log = logging.getLogger(__name__)

BUCKET_BYTES = 1 << 20


class Bucket(NamedTuple):
    """A slice of the flat diff that is complete once the backward pass has left a layer."""

    layer: int
    start: int
    end: int


def bucket_size(text: str) -> int | str:
    """The value of the parameter `bucket`. Raises ValueError with what is expected."""
    if text in ("auto", "one"):
        return text
    try:
        return whole_number(text)
    except ValueError:
        raise ValueError("auto, one, or a number of bytes") from None


def compression(text: str) -> str:
    """The value of the parameter `compress`. Raises ValueError with what is expected."""
    if text not in COMPRESSIONS:
        raise ValueError(f"one of {', '.join(COMPRESSIONS)}")
    return text


class AllreduceSync(Sync):
    """The mean of all gradients before every update; see the file.

    bucket: "auto" sends buckets of at least BUCKET_BYTES during backward where that can pay (see
    `has_room`) and does (see `Trial`), and else at the end; "one" sends them at the end; a number
    of bytes is the least size of buckets that go during backward. A net on a device with memory of
    its own has one, which is copied to the host and back. All ranks must agree on it.
    early: whether the buckets of this iteration go during backward.
    compress: "bf16" or "fp16", how gradients travel in 2 bytes, or "none" (see compression.py).
    """

    parameters: ClassVar = {
        "bucket": Parameter("auto", bucket_size),
        "compress": Parameter("none", compression),
    }

    def __init__(
        self, communicator: Communicator, bucket: int | str = "auto", compress: str = "none"
    ) -> None:
        super().__init__(communicator)
        self._bucket = bucket
        self._compress = compress
        self._buckets: list[Bucket] = []
        self._sent = 0
        self._thread: ThreadPoolExecutor | None = None
        self._trial: Trial | None = None
        self.early = False
        self._running: list[Future[None]] = []

    def on_start(self, solver: Solver) -> None:
        """Before the first iteration make all ranks equal to rank 0."""
        self._sent = 0
        super().on_start(solver)
        self.early = self._thread is not None and (self._trial is None or self._trial.early)

    def join(self, solver: Solver) -> None:
        """Plan the buckets, and when they go."""
        size = self._bucket if isinstance(self._bucket, int) else BUCKET_BYTES
        self._buckets = plan_buckets(solver.net, size)
        if len(self._buckets) < 2 or self.communicator.world_size == 1 or self._bucket == "one":
            return
        if self._bucket == "auto":
            if not has_room(self.communicator):
                return
            self._trial = Trial(self.communicator)
        self._thread = ThreadPoolExecutor(1, "allreduce")

    def on_iteration(self, solver: Solver, done: Iteration) -> None:
        """As long as it is not known which way is faster, see how long this one took."""
        if self._trial is None:
            return
        self._trial.took(done.seconds)
        if self._trial.decided is None:
            return
        late, early = (1e3 * seconds for seconds in self._trial.seconds)
        how = "during backward" if self._trial.decided else "after backward"
        log.info(
            "Gradients go %s: %.1f ms an iteration during backward, %.1f after it", how, early, late
        )
        if not self._trial.decided:
            self.close()
        self._trial = None

    def after_backward(self, solver: Solver, layer_index: int) -> None:
        """Send off the buckets that this layer has completed."""
        if self.early and self._thread is not None:
            self._send(solver.net, layer_index, self._thread)

    def on_gradients_ready(self, solver: Solver) -> None:
        """Wait until the flat diff holds the mean of all ranks' gradients."""
        with self._waiting():
            if self._thread is None or not self.early:
                cuts = sorted(bucket.start for bucket in self._buckets if bucket.start)
                self._reduce(solver.net.flat_params.diff.update("cpu"), cuts)
                return
            self._send(solver.net, 0, self._thread)
            for bucket in self._running:
                bucket.result()
            self._running.clear()

    def close(self) -> None:
        """End the thread; a collective that it is in ends with the communicator."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def _send(self, net: Net, layer: int, thread: ThreadPoolExecutor) -> None:
        """Reduce the buckets, in order, whose layers the backward pass has left."""
        for bucket in self._buckets[self._sent :]:
            if bucket.layer < layer:
                break
            part = net.flat_params.diff.update("cpu")[bucket.start : bucket.end]
            self._sent += 1
            self._running.append(thread.submit(self._reduce, part))

    def _reduce(self, part: NDArray[np.float32], cuts: Sequence[int] = ()) -> None:
        """Replace a slice of the diff by its mean over the ranks."""
        with self._counting():
            self.communicator.allreduce(part, cuts, self._compress)
        part *= np.float32(1 / self.communicator.world_size)


def has_room(communicator: Communicator) -> bool:
    """Whether communication may have something to hide behind; the same answer on all ranks.

    It has a network's time where the ranks are on several machines, and on one machine free cores:
    one a rank, beside those that the ranks' kernels keep busy.
    """
    mine = f"{socket.gethostname()} {usable_cpus()} {num_threads()}"
    facts = [each.decode().split() for each in communicator.allgather_bytes(mine.encode())]
    if len({host for host, _, _ in facts}) > 1:
        return True
    return min(int(cpus) for _, cpus, _ in facts) >= sum(int(busy) + 1 for _, _, busy in facts)


def plan_buckets(net: Net, bucket_bytes: int) -> list[Bucket]:
    """The slices of a net's flat diff in the order in which backward completes them.

    A bucket is closed at the first layer with which it holds `bucket_bytes`; what is left at the
    start of the flat diff makes the last one. A parameter that layers share is complete after the
    first of them in the net.
    """
    params = net.flat_params
    if place(net.device) != "host":
        bucket_bytes = 4 * params.count
    first: dict[int, int] = {}
    for index, node in enumerate(net.nodes):
        for blob in node.blobs:
            first.setdefault(blob.diff.offset, index)
    users = [first[where.start] for where in params.slices]
    buckets: list[Bucket] = []
    last = len(users)
    for index in reversed(range(len(users))):
        start, end = params.slices[index].start, params.slices[last - 1].stop
        split = index > 0 and users[index - 1] == users[index]
        if index == 0 or (4 * (end - start) >= bucket_bytes and not split):
            buckets.append(Bucket(min(users[index:last]), start, end))
            last = index
    return buckets
