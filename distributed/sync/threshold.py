"""threshold: of every gradient what exceeds a threshold, as one sign; the rest is kept for later.

# n weights, m of them above the threshold t on a rank:  4 (m + 2) bytes a rank and iteration,
# at most n / 4 + 8 (a sixteenth of the gradients); P - 1 of them pass through each rank

After Strom, Scalable distributed DNN training using commodity GPU cloud computing (2015), as
Deeplearning4j's SharedTrainingMaster encodes it; theirs is asynchronous, this one is not:

    residual += gradient
    message   = sign(residual) t  where |residual| > t, else 0
    residual -= message
    gradient  = the mean of all ranks' messages, added in the order of ranks

A message is a list of int32: index + 1, with the sign of its value. Where more than one in sixteen
values is sent, two bits a weight are shorter: the plane of the positive ones, then that of the
negative ones. All ranks decode the same messages in the same order, so their weights are bit-equal
after every update.

A snapshot holds the residuals of all ranks, n floats a rank, so that a run which goes on from it
with as many ranks gives the bits of one that was not stopped. With another number of ranks each
begins with their mean: what all ranks together still owe the weights stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import CommunicationError
from minicaffe.solver.solver import Solver

from ..communicator import Communicator
from . import Parameter, Sync, positive_number

F32 = NDArray[np.float32]

THRESHOLD = 0.01  # DL4J's is 0.001, of an update, that is of gradients times the rate
SPARSE, BITMAP = 0, 1
DENSE_FROM = 16  # one in so many: from there on a bitmap is shorter


class ThresholdSync(Sync):
    """Gradients in signs of one size, `threshold`; `sent` counts the bytes of this rank's."""

    parameters: ClassVar = {"threshold": Parameter(THRESHOLD, positive_number)}

    def __init__(self, communicator: Communicator, threshold: float = THRESHOLD) -> None:
        super().__init__(communicator)
        self.threshold = np.float32(threshold)
        self.residual: F32 = np.zeros(0, np.float32)
        self.sent = 0

    def join(self, solver: Solver) -> None:
        """Begin without residuals, unless a snapshot has brought some."""
        if not self.residual.size:
            self.residual = np.zeros(solver.net.flat_params.count, np.float32)

    def gather_residuals(self, solver: Solver) -> list[F32]:
        """A snapshot: the residuals of all ranks, for the root; one after the other passes by."""
        found = []
        with self._waiting(), self._counting():
            for rank in range(self.communicator.world_size):
                array = self.residual.copy()
                self.communicator.broadcast(array, root=rank)
                if solver.root:
                    found.append(array)
        return found

    def on_restore(self, solver: Solver, residuals: Sequence[F32]) -> None:
        """Back at a snapshot: take this rank's residual, or a share of all."""
        self.residual = np.zeros(solver.net.flat_params.count, np.float32)
        if len(residuals) == self.communicator.world_size:
            self.residual += residuals[self.communicator.rank]
        elif residuals:
            for each in residuals:
                self.residual += each
            self.residual *= np.float32(1 / len(residuals))

    def on_gradients_ready(self, solver: Solver) -> None:
        """Replace the flat diff by the mean of all ranks' messages."""
        diff: Any = solver.net.flat_params.diff.update("cpu")
        with self._waiting():
            self.residual += diff
            message = encode(self.residual, self.threshold)
            self.sent += len(message)
            with self._counting():
                messages = self.communicator.allgather_bytes(message)
            diff[...] = 0
            for each in messages:
                decode(each, self.threshold, diff)
            diff *= np.float32(1 / self.communicator.world_size)


def encode(residual: F32, threshold: np.float32) -> bytes:
    """What exceeds the threshold, which is taken off the residual."""
    above, below = residual > threshold, residual < -threshold
    steps = above.view(np.int8) - below.view(np.int8)
    residual -= threshold * steps
    found = np.flatnonzero(steps)
    if len(found) * DENSE_FROM > residual.size:
        planes = np.packbits([above, below], axis=1)
        return np.array([BITMAP, residual.size], "<i4").tobytes() + planes.tobytes()
    signed = (found + 1) * steps[found]
    return np.array([SPARSE, len(found)], "<i4").tobytes() + signed.astype("<i4").tobytes()


def decode(message: bytes, threshold: np.float32, total: F32) -> None:
    """Add a message's values to `total`. Raises CommunicationError for what is none of its size."""
    kind, count = np.frombuffer(message[:8], "<i4").tolist()
    if kind == SPARSE and len(message) == 8 + 4 * count:
        signed = np.frombuffer(message, "<i4", offset=8)
        total[signed[signed > 0] - 1] += threshold
        total[-1 - signed[signed < 0]] -= threshold
        return
    width = -(-total.size // 8)
    if kind != BITMAP or count != total.size or len(message) != 8 + 2 * width:
        raise CommunicationError(f"{len(message)} bytes that encode no gradient of {total.size}")
    planes = np.frombuffer(message, np.uint8, offset=8).reshape(2, width)
    above, below = np.unpackbits(planes, axis=1, count=total.size).view(np.int8)
    total += threshold * (above - below)
