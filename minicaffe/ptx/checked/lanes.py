"""The lanes of a batch of blocks: one a thread; a register is an array over lanes.

    T = blocks * width lanes, width = threads of a block, rounded up to whole warps
    a value is an array of T elements, or of one where all lanes that may read it have the same

Values are never changed in place, so that a move is a second reference, and what is equal in all
threads, as sizes and counters of loops are, costs as much as one thread.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...errors import shown
from ..fault import EmulatorFault, Index
from ..memory import Memory
from ..program import Kernel

Value = Any  # an array of numbers of the type that stands in the instruction
WARP = 32


class Mask:
    """A set of lanes."""

    __slots__ = ("_index", "count", "lanes")

    def __init__(self, lanes: np.ndarray, count: int | None = None) -> None:
        self.lanes = lanes
        self.count = int(np.count_nonzero(lanes)) if count is None else count
        self._index: np.ndarray | None = None

    @property
    def full(self) -> bool:
        """Whether it has all lanes of the batch."""
        return self.count == self.lanes.size

    @property
    def index(self) -> np.ndarray:
        """The numbers of its lanes."""
        if self._index is None:
            self._index = np.flatnonzero(self.lanes)
        return self._index

    def joined(self, other: "Mask") -> "Mask":
        """The lanes of both, which have none in common."""
        return Mask(self.lanes | other.lanes, self.count + other.count)


class Observer(Protocol):
    """Who watches a launch: `minicaffe cuda step` and `minicaffe cuda profile` do."""

    def executed(self, batch: "Lanes", at: int) -> None:
        """The instruction of this index was executed by the lanes of `batch.mask`."""

    def accessed(self, batch: "Lanes", space: str, address: Value, size: int) -> None:
        """They touch `size` bytes at these addresses, one or T; in shared memory from its begin."""


@dataclass(frozen=True)
class Launch:
    """What is the same for all batches of a launch."""

    kernel: Kernel
    grid: Index
    block: Index
    shared_bytes: int
    arguments: bytes
    memory: Memory
    symbols: Mapping[str, int]
    checks: bool
    observer: Observer | None

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.block[0] * self.block[1] * self.block[2]

    @property
    def blocks(self) -> int:
        """Blocks of the grid."""
        return self.grid[0] * self.grid[1] * self.grid[2]


class Lanes:
    """The threads of some blocks of a launch, and their registers.

    mask       the lanes that execute the current instruction
    everyone   whether these are all that have not ended, so that a register is written whole
    at         the index of the current instruction
    """

    def __init__(self, launch: Launch, first: int, blocks: int, registers: int) -> None:
        self.launch, self.first, self.blocks = launch, first, blocks
        self.kernel, self.checks, self.observer = launch.kernel, launch.checks, launch.observer
        self.width = -(-launch.threads // WARP) * WARP
        self.lanes = blocks * self.width
        self.registers: list[Value | None] = [None] * registers
        self.thread = np.tile(np.arange(self.width), blocks)
        self.cta = np.repeat(np.arange(blocks), self.width)  # a block's number in the batch
        self.started = Mask(self.thread < launch.threads)
        self.ended = ~self.started.lanes
        self.alive = self.started.count
        self.mask, self.everyone = self.started, True
        self.at = 0
        self.steps = 0
        self.carry = np.zeros(self.lanes, np.bool_)  # of add.cc and its like
        self._specials: dict[str, Value] = {}

    # --- values ----------------------------------------------------------------------------------

    def put(self, register: int, value: Value) -> None:
        """Write a register for the lanes of the mask; the others keep what they have."""
        old = self.registers[register]
        if self.everyone or old is None:
            self.registers[register] = value
            return
        if old.dtype != value.dtype:
            old = old.view(value.dtype)
        self.registers[register] = np.where(self.mask.lanes, value, old)

    def active(self, value: Value) -> Value:
        """The elements of the mask's lanes; one element where all have the same."""
        if value.size == 1 or self.mask.full:
            return value
        return value[self.mask.index]

    def spread(self, values: Value) -> Value:
        """The inverse: elements of the mask's lanes in their places."""
        if self.mask.full or values.size == 1:
            return values
        whole = np.zeros(self.lanes, values.dtype)
        whole[self.mask.index] = values
        return whole

    def whole(self, value: Value) -> Value:
        """A value with all of its T elements."""
        return value if value.size == self.lanes else np.broadcast_to(value, self.lanes)

    def narrowed(self, predicate: Value) -> Mask | None:
        """The lanes of the mask for which a predicate holds; None if there are none."""
        if predicate.size == 1:
            return self.mask if predicate[0] else None
        narrow = Mask(self.mask.lanes & predicate)
        if narrow.count == self.mask.count:
            return self.mask
        return narrow if narrow.count else None

    @contextmanager
    def only(self, mask: Mask) -> Iterator[None]:
        """Let fewer lanes execute what stands inside."""
        whole, everyone = self.mask, self.everyone
        self.mask, self.everyone = mask, False
        try:
            yield
        finally:
            self.mask, self.everyone = whole, everyone

    # --- who a thread is -------------------------------------------------------------------------

    def special(self, name: str) -> Value:
        """The value of a special register."""
        if name.startswith("%clock") or name == "%globaltimer":
            return np.array([self.steps], np.uint64 if name.endswith(("64", "r")) else np.uint32)
        if name not in self._specials:
            value = np.asarray(self._special(name), np.uint32).reshape(-1)
            self._specials[name] = value[:1] if (value == value[0]).all() else value
        return self._specials[name]

    def _special(self, name: str) -> np.ndarray | int:
        launch, thread = self.launch, self.thread
        root, _, axis = name.partition(".")
        lane = (thread % WARP).astype(np.uint64)
        bit = np.uint64(1) << lane
        match root:
            case "%tid":
                return _along(thread, launch.block, axis)
            case "%ctaid":
                return _along(self.first + self.cta, launch.grid, axis)
            case "%ntid":
                return launch.block["xyz".index(axis)]
            case "%nctaid":
                return launch.grid["xyz".index(axis)]
            case "%laneid":
                return lane
            case "%warpid":
                return thread // WARP
            case "%nwarpid":
                return self.width // WARP
            case "%lanemask_eq":
                return bit
            case "%lanemask_lt":
                return bit - 1
            case "%lanemask_le":
                return 2 * bit - 1
            case "%lanemask_gt":
                return 0x1_0000_0000 - 2 * bit
            case "%lanemask_ge":
                return 0x1_0000_0000 - bit
            case "%dynamic_smem_size":
                return launch.shared_bytes
            case "%total_smem_size":
                return launch.shared_bytes + self.kernel.shared_bytes
            case "%smid" | "%gridid":
                return 0
            case "%nsmid":
                return 1
        raise self.fault(f"the special register {name} is not known to the emulator")

    def index_of_thread(self, thread: int) -> Index:
        """x, y and z of a thread of a block."""
        return _index(thread, self.launch.block)

    def place_of(self, at: int) -> str:
        """Where an instruction stands, for a sentence."""
        instruction = self.kernel.instructions[at]
        if instruction.python_line:
            return f"{shown(instruction.file)}:{instruction.python_line}"
        return f"PTX line {instruction.line}"

    # --- faults ----------------------------------------------------------------------------------

    def fault(
        self, kind: str, lane: int | None = None, address: int | None = None, detail: str = ""
    ) -> EmulatorFault:
        """The fault of the current instruction in a lane, to be raised."""
        block = thread = None
        if lane is not None:
            block = _index(self.first + int(self.cta[lane]), self.launch.grid)
            thread = _index(int(self.thread[lane]), self.launch.block)
        return EmulatorFault(
            kind,
            self.kernel,
            self.kernel.instructions[self.at],
            detail=detail,
            block=block,
            thread=thread,
            address=address,
        )


def _along(number: np.ndarray, sizes: Index, axis: str) -> np.ndarray:
    """The index along an axis, x the fastest, of numbered threads or blocks."""
    along = "xyz".index(axis)
    return number // int(np.prod(sizes[:along])) % sizes[along]


def _index(number: int, sizes: Index) -> Index:
    return number % sizes[0], number // sizes[0] % sizes[1], number // (sizes[0] * sizes[1])
