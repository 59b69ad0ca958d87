"""Synchronous data parallelism: every rank takes the mean of all ranks' gradients.

The solver calls; it does not know what happens here. Before the first iteration the ranks take
over rank 0's weights and solver history. In every iteration the gradients are summed over the
ranks and divided by their number, in buckets:

    solver    backward: layer 9 | layer 8 | layer 7 | layer 6 | ...      | layer 0 | wait
    thread                                          | bucket of layers 7 to 9 | bucket of the rest

A bucket is a slice of the flat diff; it goes out when backward has left its layers.

The boundaries of the buckets follow from the net alone, so that sums are formed in the same order
in every run. The weights of all ranks are bit-equal after every update.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe import context
from minicaffe.device import place
from minicaffe.net.net import Net
from minicaffe.solver.solver import REQUESTS, Solver

from ..communicator import Communicator

BUCKET_BYTES = 1 << 20


class Bucket(NamedTuple):
    """A slice of the flat diff that is complete once the backward pass has left a layer."""

    layer: int
    start: int
    end: int


class AllreduceSync:
    """The callback that joins a solver to a communicator, which stays the caller's to close.

    `bucket_bytes` is the least size of a bucket; None makes one bucket of all gradients, reduced
    when the last of them is ready, without a thread. All ranks must agree on it. A net on a device
    with memory of its own has one bucket, which is copied to the host and back.

    seconds: time spent in collectives so far, in whichever thread.
    waited: seconds for which the solver stood still because of them.
    """

    def __init__(self, communicator: Communicator, bucket_bytes: int | None = BUCKET_BYTES) -> None:
        self.communicator = communicator
        self.seconds = 0.0
        self.waited = 0.0
        self._bucket_bytes = bucket_bytes
        self._buckets: list[Bucket] | None = None
        self._sent = 0
        self._thread: ThreadPoolExecutor | None = None
        self._running: list[Future[None]] = []

    def on_start(self, solver: Solver) -> None:
        """Before the first iteration make all ranks equal to rank 0."""
        self.communicator.iteration = solver.iter
        self._sent = 0
        params = solver.net.flat_params
        params.check_diffs()
        if self._buckets is not None:
            return
        with self._waiting(), self._counting():
            for array in (params.data, *solver.history):
                self.communicator.broadcast(array.update("cpu"))
        params.spread()
        self._buckets = plan_buckets(solver.net, self._bucket_bytes)
        if len(self._buckets) > 1 and self.communicator.world_size > 1:
            self._thread = ThreadPoolExecutor(1, "allreduce")

    def after_backward(self, solver: Solver, layer_index: int) -> None:
        """Send off the buckets that this layer has completed."""
        if self._thread is not None:
            self._send(solver.net, layer_index)

    def on_gradients_ready(self, solver: Solver) -> None:
        """Wait until the flat diff holds the mean of all ranks' gradients."""
        with self._waiting():
            self._send(solver.net, 0)
            for bucket in self._running:
                bucket.result()
            self._running.clear()

    def on_requests(self, solver: Solver, requests: Set[str]) -> set[str]:
        """What any rank asks for holds on all of them."""
        names = sorted(REQUESTS)
        asked = np.zeros(self.communicator.world_size, np.int64)
        asked[self.communicator.rank] = sum(1 << names.index(name) for name in requests)
        with self._waiting(), self._counting():
            self.communicator.allgather(asked)
        together = int(np.bitwise_or.reduce(asked))
        return {name for bit, name in enumerate(names) if together >> bit & 1}

    def gather_random_states(self, solver: Solver) -> list[bytes]:
        """The places of all ranks in their random streams, by rank."""
        with self._waiting(), self._counting():
            return self.communicator.allgather_bytes(context.current().rng.get_state())

    def close(self) -> None:
        """End the thread; a collective that it is in ends with the communicator."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def _send(self, net: Net, layer: int) -> None:
        """Reduce the buckets, in order, whose layers the backward pass has left."""
        for bucket in (self._buckets or [])[self._sent :]:
            if bucket.layer < layer:
                break
            part = net.flat_params.diff.update("cpu")[bucket.start : bucket.end]
            self._sent += 1
            if self._thread is not None:
                self._running.append(self._thread.submit(self._reduce, part))
            else:
                self._reduce(part)

    def _reduce(self, part: NDArray[np.float32]) -> None:
        """Replace a slice of the diff by its mean over the ranks."""
        with self._counting():
            self.communicator.allreduce(part)
        part *= np.float32(1 / self.communicator.world_size)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began


def plan_buckets(net: Net, bucket_bytes: int | None) -> list[Bucket]:
    """The slices of a net's flat diff in the order in which backward completes them.

    A bucket is closed at the first layer with which it holds `bucket_bytes`; what is left at the
    start of the flat diff makes the last one. A parameter that layers share is complete after the
    first of them in the net.
    """
    params = net.flat_params
    if bucket_bytes is None or place(net.device) != "host":
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
