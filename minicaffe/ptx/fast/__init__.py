"""Engine 2, which is fast: PTX becomes machine code in which a warp is a vector of 32 lanes.

    warp.py          blocks, branches and barriers of a warp; grid.py: the loops around it
    frame.py         the registers and words that instructions use; context.py: which words
    instructions.py  one instruction: arithmetic (rounding, approximate, bits), convert,
                     memory_access (allocations), exchange
    lanes.py         vectors of lanes in LLVM; compiled.py: machine code, and its call

It gives the bits that the checked engine gives. It checks addresses, alignment, barriers and
endless loops; but warps run one after the other, from barrier to barrier, so a race among them
does not show, nor what was never written: that is the checked engine's work.
"""

from ..fault import Index
from ..limits import check_launch
from ..memory import Memory
from ..program import Kernel
from .compiled import Compiled, digest, translate
from .context import Unknown

BUDGET = 1_000_000_000
_compiled: dict[int, Compiled] = {}  # by the kernel's id, which lives as long


def launch(
    kernel: Kernel,
    grid: Index,
    block: Index,
    shared: int,
    arguments: bytes,
    memory: Memory,
    *,
    budget: int = BUDGET,
) -> None:
    """Run a kernel to its end; the parameters are those of `checked.launch`.

    budget   the most instructions that a warp may execute in the loops of a block

    The kernel is translated when it is launched for the first time; whoever keeps what `translate`
    gave has `run`. Raises EmulatorFault, KernelError for a launch that no GPU could do, and Unknown
    for an instruction that only the checked engine knows.
    """
    if id(kernel) not in _compiled:
        _compiled[id(kernel)] = Compiled(kernel, translate(kernel))
    run(_compiled[id(kernel)], grid, block, shared, arguments, memory, budget=budget)


def run(
    compiled: Compiled,
    grid: Index,
    block: Index,
    shared: int,
    arguments: bytes,
    memory: Memory,
    *,
    budget: int = BUDGET,
) -> None:
    """`launch` of what is compiled."""
    check_launch(compiled.kernel, grid, block, shared, arguments)
    compiled.run(grid, block, shared, arguments, memory, budget)


__all__ = ["BUDGET", "Compiled", "Unknown", "digest", "launch", "run", "translate"]
