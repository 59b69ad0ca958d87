"""Counters of a kernel, an element for each instruction, filled while engine 1 runs it.

Global memory is moved in sectors of 32 bytes: a request of a warp takes as many as its threads
touch. Shared memory has 32 banks of 4 bytes: a request takes as many passes as the bank has
words to give that has most of them; requests of 8 bytes a thread go by half warps, of 16 by
quarters. Both are what Nsight Compute calls so.
"""

import numpy as np

from ..checked.lanes import WARP, Lanes, Value
from ..memory import Memory
from ..program import Kernel
from .kinds import flops_of

SECTOR = 32
_BANKS, _BANK = 32, 4
_NOBODY = np.uint64(2**63)


class Counters:
    """What was counted in all launches of a kernel.

    launches, threads          of all launches; `grid` and `block` of the last
    thread, warp               executions of each instruction by threads and by warps
    requests, sectors, ideal   of warps to global memory; ideal: sectors for the bytes alone
    parts, passes              of warps to shared memory; parts: passes without a conflict
    asked                      bytes that threads asked for, of global memory
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.launches = self.threads = 0
        self.grid = self.block = (1, 1, 1)
        self.dynamic_shared = 0
        count = len(kernel.instructions)
        self.thread, self.warp = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.requests, self.sectors, self.ideal, self.asked, self.parts, self.passes = (
            np.zeros(count, np.int64) for _ in range(6)
        )
        self._batch: Lanes | None = None
        self._before = 0  # bytes that the launches before this one have touched
        self._touched: dict[int, np.ndarray] = {}  # address of an allocation -> its sectors

    def begin(self) -> "Counters":
        """Another launch begins."""
        self.launches += 1
        self._before += self._of_this_launch()
        self._touched.clear()
        return self

    def executed(self, batch: Lanes, at: int) -> None:
        """Count an instruction (`Observer`)."""
        if batch is not self._batch:
            self._batch, launch = batch, batch.launch
            self.grid, self.block = launch.grid, launch.block
            self.dynamic_shared = launch.shared_bytes
            self.threads += batch.blocks * launch.threads
        self.thread[at] += batch.mask.count
        self.warp[at] += int(batch.mask.lanes.reshape(-1, WARP).any(1).sum())

    def accessed(self, batch: Lanes, space: str, address: Value, size: int) -> None:
        """Count an access (`Observer`)."""
        mask = batch.mask.lanes.reshape(-1, WARP)
        here = mask.any(1)
        mask, rows = mask[here], batch.whole(address).reshape(-1, WARP)[here]
        at = batch.at
        if space == "shared":
            parts, passes = bank_passes(rows, mask, size)
            self.parts[at] += parts
            self.passes[at] += passes
        elif space == "global":
            self.requests[at] += len(rows)
            self.sectors[at] += distinct(rows // np.uint64(SECTOR), mask)
            self.ideal[at] += _least_sectors(rows, mask, size)
            self.asked[at] += int(mask.sum()) * size
            self._touch(batch.launch.memory, rows[mask], size)

    def _touch(self, memory: Memory, addresses: np.ndarray, size: int) -> None:
        allocation = memory.find(int(addresses.min()))
        if allocation is None:
            return  # the access itself is a fault
        begin = np.uint64(allocation.address)
        touched = self._touched.setdefault(
            allocation.address, np.zeros(allocation.nbytes // SECTOR + 1, np.bool_)
        )
        places = (addresses - begin) // np.uint64(SECTOR)
        touched[places[places < touched.size]] = True

    @property
    def moved(self) -> int:
        """Bytes of all sectors that were asked for; caches may have had some of them."""
        return int(self.sectors.sum()) * SECTOR

    @property
    def footprint(self) -> int:
        """Bytes of the different sectors of each launch: the least that memory must move."""
        return self._before + self._of_this_launch()

    def _of_this_launch(self) -> int:
        return sum(int(each.sum()) for each in self._touched.values()) * SECTOR

    @property
    def flops(self) -> float:
        """Floating-point operations."""
        each = [flops_of(instruction) for instruction in self.kernel.instructions]
        return float(self.thread @ np.array(each)) if each else 0.0

    @property
    def lanes_used(self) -> float:
        """Of the lanes of the warps that ran, the share that executed."""
        return float(self.thread.sum() / max(1, WARP * self.warp.sum()))


class Profiler:
    """Counters for each kernel that is launched: `with watching(profiler.begin): ...`."""

    def __init__(self) -> None:
        self._counters: dict[Kernel, Counters] = {}

    def begin(self, kernel: Kernel) -> Counters:
        """The counters of a kernel, for another launch."""
        return self._counters.setdefault(kernel, Counters(kernel)).begin()

    @property
    def counters(self) -> list[Counters]:
        """Of the kernels in the order of their first launches."""
        return list(self._counters.values())


def distinct(keys: Value, mask: np.ndarray) -> int:
    """How many different keys the lanes of a mask have, a row for itself, all rows together."""
    return int(_different(keys, mask)[1].sum())


def _least_sectors(rows: Value, mask: np.ndarray, size: int) -> int:
    """The sectors that the different elements of each row would fill, side by side."""
    elements = _different(rows, mask)[1].sum(1)
    return int((-(-elements * size // SECTOR)).sum())


def _different(keys: Value, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys of the lanes of a mask in order, and which of them differ from the one before."""
    ordered: np.ndarray = np.sort(np.where(mask, keys, _NOBODY), axis=1)
    new = ordered != _NOBODY
    new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    return ordered, new


def bank_passes(rows: Value, mask: np.ndarray, size: int) -> tuple[int, int]:
    """(passes without any conflict, passes) of accesses to shared memory, a warp a row."""
    words = max(1, size // _BANK)
    part = WARP // words
    first = (rows // np.uint64(_BANK)).reshape(-1, part)
    active = np.repeat(mask.reshape(-1, part), words, axis=1)
    word = (first[:, :, None] + np.arange(words, dtype=np.uint64)).reshape(len(first), -1)
    ordered, new = _different(word, active)
    bank = (ordered % np.uint64(_BANKS)).astype(np.intp)
    place = np.arange(len(bank))[:, None] * _BANKS + bank
    load = np.bincount(place[new], minlength=len(bank) * _BANKS).reshape(-1, _BANKS)
    most = load.max(1) if load.size else np.zeros(0, np.int64)
    return int((most > 0).sum()), int(most.sum())
