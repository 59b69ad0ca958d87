"""What no GPU can launch, whoever runs the kernel."""

from ..errors import KernelError
from .fault import Index
from .program import Kernel

MOST_THREADS = 1024  # of a block
MOST_SHARED = 227 * 1024  # bytes of a block's shared memory, with compute capability 9.0


def check_launch(kernel: Kernel, grid: Index, block: Index, shared: int, arguments: bytes) -> None:
    """Raise KernelError for a launch that a driver would refuse."""
    name, threads = kernel.short_name, block[0] * block[1] * block[2]
    if min(*grid, *block) < 1:
        raise KernelError(f"kernel {name}: grid {grid} and block {block} must be at least 1")
    if threads > (most := kernel.most_threads or MOST_THREADS) or block[2] > 64:
        raise KernelError(f"kernel {name}: a block of {threads} threads, {most} are the most")
    if (total := kernel.shared_bytes + shared) > MOST_SHARED:
        raise KernelError(
            f"kernel {name}: {total} bytes of shared memory, {MOST_SHARED} are the most"
        )
    if len(arguments) != kernel.parameter_bytes:
        raise KernelError(
            f"kernel {name}: {len(arguments)} bytes of arguments,"
            f" it has parameters of {kernel.parameter_bytes}"
        )
