"""Recording: the kernel calls of a function, written down to be made again with the same arguments.

A call from Python looks for the machine code that fits the types of the arguments, which takes as
long as to hand them over, or longer. A call that is written down goes straight to its machine code.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ._compile.jit import CHECKED, DISABLED, written_down

Call = Callable[[], None]


def record(run: Callable[[], None]) -> Sequence[Call] | None:
    """Call `run`, and return the kernel calls that it made on this thread, in order.

    They hold as long as the arrays do, for as many threads as there are now. None where kernels are
    plain Python, or are checked.
    """
    if DISABLED or CHECKED:
        run()
        return None
    calls: list[tuple[Any, tuple[Any, ...], bool]] = []
    written_down.calls = calls
    try:
        run()
    finally:
        written_down.calls = None
    return [kernel.bound(args, alone) for kernel, args, alone in calls]
