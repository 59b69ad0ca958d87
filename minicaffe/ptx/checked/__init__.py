"""Engine 1, which checks: threads of many blocks run side by side, as elements of NumPy arrays.

run.py          which block of a kernel the threads go through next; barriers
decode.py       an instruction becomes a function of a batch of blocks ...
operands.py     ... that reads registers and writes them
batch.py        the registers and the lanes of a batch
arithmetic.py   instructions that are functions: floats, integers, convert, approximate
transfer.py     moves, loads, stores, cp.async (copies.py); atomics.py
warp.py         shuffles and votes; tensor.py: mma
global_memory, window, shared, races    what an address may be, who may touch it, and when
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..fault import Index
from ..limits import check_launch
from ..memory import Memory
from ..program import Kernel
from .batch import Batch
from .decode import decode
from .lanes import WARP, Launch, Observer
from .run import Run

BUDGET = 10_000_000
LANES = 8192  # that run side by side, at most, but for a block that has more


def launch(
    kernel: Kernel,
    grid: Index,
    block: Index,
    shared: int,
    arguments: bytes,
    memory: Memory,
    *,
    checks: bool = True,
    budget: int = BUDGET,
    observer: Observer | None = None,
    lanes: int = LANES,
) -> None:
    """Run a kernel to its end.

    grid, block   blocks of the grid, threads of a block: x, y, z
    shared        bytes of shared memory besides what the kernel declares
    arguments     the block of arguments, `kernel.pack(values)`; addresses are those of `memory`
    checks        also for memory that was never written, races in shared memory, threads that are
                  missing in an instruction of a warp; bounds and barriers are checked always
    budget        the most instructions that a batch of blocks may execute
    observer      is told of each instruction
    lanes         threads that run side by side

    Raises EmulatorFault for what a kernel must not do, and KernelError for an instruction that is
    not known or a launch that no GPU could do.
    """
    check_launch(kernel, grid, block, shared, arguments)
    program = decode(kernel)
    observer = observer or _watched(kernel)
    symbols = memory.load(kernel)
    what = Launch(kernel, grid, block, shared, arguments, memory, symbols, checks, observer)
    width = -(-what.threads // WARP) * WARP
    side_by_side = max(1, lanes // width)
    with np.errstate(all="ignore"):
        for first in range(0, what.blocks, side_by_side):
            blocks = min(side_by_side, what.blocks - first)
            Run(Batch(what, first, blocks, program.registers), program, budget).to_the_end()
    memory.settle()


_watching: list[Callable[[Kernel], Observer | None]] = []


@contextmanager
def watching(begin: Callable[[Kernel], Observer | None]) -> Iterator[None]:
    """Let `begin(kernel)` give the observer of each launch while what stands inside runs."""
    _watching.append(begin)
    try:
        yield
    finally:
        _watching.remove(begin)


def _watched(kernel: Kernel) -> Observer | None:
    return _watching[-1](kernel) if _watching else None
