"""Engine 1, which checks: threads of many blocks run side by side, as elements of NumPy arrays."""

from .memory import Memory
from .program import Kernel

BUDGET = 10_000_000


def launch(
    kernel: Kernel,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    shared: int,
    arguments: bytes,
    memory: Memory,
    *,
    checks: bool = True,
    budget: int = BUDGET,
) -> None:
    """Run a kernel to its end.

    grid, block   blocks of the grid, threads of a block: x, y, z
    shared        bytes of shared memory besides what the kernel declares
    arguments     the block of arguments, `kernel.pack(values)`; addresses are those of `memory`
    checks        memory (bounds, alignment, freed, read-only, never written), races in shared
                  memory, barriers, warps; without them it is faster
    budget        the most instructions that a batch of blocks may execute

    Raises EmulatorFault for what a kernel must not do, and for an instruction that is not known.
    """
    raise NotImplementedError
