"""Where threads go: which block runs next, who waits at a barrier, who has ended."""

from dataclasses import dataclass

import numpy as np

from .batch import Batch
from .decode import Code, Leave, Program
from .lanes import Mask


@dataclass(frozen=True)
class _Parked:
    """Threads at a barrier: where it stands, its number and its size for each lane."""

    mask: Mask
    block: int
    at: int
    barrier: np.ndarray
    threads: np.ndarray | None


class Run:
    """The run of a batch.

    waiting   block -> the threads that stand before it; the lowest block goes first, so that
              threads that went apart meet again where their ways do
    parked    threads at barriers, which nobody passes before all that it is for are there
    """

    def __init__(self, batch: Batch, program: Program, budget: int) -> None:
        self.batch, self.program, self.budget = batch, program, budget
        self.waiting = {0: batch.started}
        self.parked: list[_Parked] = []
        for register, zero in program.undefined:
            batch.registers[register] = zero

    def to_the_end(self) -> None:
        """Run until all threads have ended."""
        while self.waiting or self.parked:
            if not self.waiting:
                self._release()
                continue
            number = min(self.waiting)
            mask = self.waiting.pop(number)
            if number == len(self.program.blocks):
                self._end(mask)
            else:
                self._block(number, self.program.blocks[number], mask)

    def _block(self, number: int, code: Code, mask: Mask) -> None:
        batch, observer = self.batch, self.batch.observer
        batch.mask, batch.everyone = mask, mask.count == batch.alive
        batch.steps += len(code.steps) + 1
        if batch.steps > self.budget:
            batch.at = code.leave.at
            raise batch.fault(
                f"no end after {self.budget} instructions",
                int(mask.index[0]),
                detail="an endless loop, or a budget that is too small",
            )
        for at, step in code.steps:
            batch.at = at
            step(batch)
            if observer:
                observer.executed(batch, at)
        batch.at = code.leave.at
        if code.leave.kind != "fall" and observer:
            observer.executed(batch, batch.at)
        self._leave(number, code.leave)

    def _leave(self, number: int, leave: Leave) -> None:
        batch = self.batch
        mask: Mask | None = batch.mask
        assert mask is not None
        going = batch.narrowed(leave.predicate(batch)) if leave.predicate else mask
        if going is None or leave.kind == "fall":
            self._wait(number + 1, mask)
            return
        if leave.kind == "branch":
            self._wait(leave.target, going)
        elif leave.kind == "end":
            self._end(going)
        elif leave.kind == "trap":
            raise batch.fault("trap", int(going.index[0]))
        else:
            self._park(number, leave, going)
        if going is not mask:
            self._wait(number + 1, Mask(mask.lanes & ~going.lanes, mask.count - going.count))

    def _wait(self, block: int, mask: Mask) -> None:
        other = self.waiting.get(block)
        self.waiting[block] = other.joined(mask) if other else mask

    def _end(self, mask: Mask) -> None:
        self.batch.ended = self.batch.ended | mask.lanes
        self.batch.alive -= mask.count

    # --- barriers --------------------------------------------------------------------------------

    def _park(self, number: int, leave: Leave, mask: Mask) -> None:
        batch = self.batch
        zero = np.zeros(1, np.uint32)
        barrier = leave.barrier(batch) if leave.barrier else zero
        threads = batch.whole(leave.threads(batch)) if leave.threads else None
        self.parked.append(_Parked(mask, number, leave.at, batch.whole(barrier), threads))

    def _release(self) -> None:
        """Nobody can go on: let those pass whose barrier is complete."""
        batch = self.batch
        only = self.parked[0]
        if len(self.parked) == 1 and only.threads is None and self._nobody_has_ended(only.mask):
            passing = [(only.block, only.mask)]
            self.parked = []
        else:
            passing = self._complete()
        batch.shared.barrier()
        for block, mask in passing:
            self._wait(block + 1, mask)

    def _nobody_has_ended(self, mask: Mask) -> bool:
        return mask.count == self.batch.started.count

    def _complete(self) -> list[tuple[int, Mask]]:
        """The threads at complete barriers, with their blocks; they are not parked any more."""
        batch = self.batch
        barrier = np.full(batch.lanes, -1, np.int64)  # of each thread, -1: it waits at none
        place = np.full(batch.lanes, -1, np.int64)
        size = np.zeros(batch.lanes, np.int64)
        for each in self.parked:
            lanes = each.mask.index
            barrier[lanes], place[lanes] = each.barrier[lanes], each.at
            size[lanes] = each.threads[lanes] if each.threads is not None else 0
        free = np.zeros(batch.lanes, np.bool_)
        for cta in range(batch.blocks):
            lanes = np.arange(cta * batch.width, (cta + 1) * batch.width)
            lanes = lanes[batch.started.lanes[lanes]]
            for number in np.unique(barrier[lanes][barrier[lanes] >= 0]):
                here = lanes[barrier[lanes] == number]
                if size[here[0]] == 0:
                    self._check_complete(lanes, here, place)
                free[here] = size[here[0]] in (0, here.size)
        if not free.any():
            lane = int(self.parked[0].mask.index[0])
            batch.at = self.parked[0].at
            raise batch.fault("divergent barrier", lane, detail="it waits for more threads")
        passing, rest = [], []
        for each in self.parked:
            go, stay = each.mask.lanes & free, each.mask.lanes & ~free
            if go.any():
                passing.append((each.block, Mask(go)))
            if stay.any():
                rest.append(_Parked(Mask(stay), each.block, each.at, each.barrier, each.threads))
        self.parked = rest
        return passing

    def _check_complete(self, lanes: np.ndarray, here: np.ndarray, place: np.ndarray) -> None:
        """A barrier of all threads of a block: all of them stand at this very instruction."""
        batch, at = self.batch, int(place[here[0]])
        batch.at = at
        elsewhere = lanes[place[lanes] != at]
        if not elsewhere.size:
            return
        other = int(elsewhere[0])
        where = f"thread {batch.index_of_thread(int(batch.thread[other]))}"
        if batch.ended[other]:
            detail = f"{where} has ended"
        else:
            detail = f"{where} waits at {batch.place_of(int(place[other]))}"
        count = f" and {elsewhere.size - 1} more" if elsewhere.size > 1 else ""
        raise batch.fault("divergent barrier", int(here[0]), detail=detail + count)
