"""What compiled code is told of a launch: 64-bit words at fixed places, of which it gets the first.

Python fills them before the call; the compiled loop over blocks and warps updates some.
"""

from enum import IntEnum


class Word(IntEnum):
    """The places. A word named after an array holds the address of its first byte."""

    PARAMETERS = 0  # the block of arguments
    SHARED = 1  # shared memory of the block that runs
    SHARED_BYTES = 2  # its size, with what the launch adds
    LOCAL = 3  # local memory of the warp that runs: 32 times that of a thread
    SAVED = 4  # registers of the warp that runs, while it waits at a barrier
    THREADS = 5  # %tid.x of the warp's 32 lanes as words, then .y, then .z
    BLOCK = 6  # %ctaid.x, .y, .z
    BLOCK_SIZE = 9  # %ntid
    GRID_SIZE = 12  # %nctaid
    WARP = 15  # %warpid
    VARIABLES = 16  # addresses of the module's variables in global and const memory
    ALLOCATIONS = 17  # table of (first byte, end, whether it may be written), sorted
    ALLOCATION_COUNT = 18
    BUDGET = 19  # instructions of a warp that this block may still execute
    FAULT = 20  # reason, then number of the instruction, lane, address
    RECENT = 24  # for each access of the text: (first byte, size) of the allocation it found last


WORDS = 25
NOWHERE = (1 << 62, 16)  # an allocation to begin with, in which no address lies


class Reason(IntEnum):
    """Why compiled code stopped: what it writes at Word.FAULT."""

    NONE = 0
    GLOBAL = 1  # no allocation there, or read-only
    MISALIGNED = 2
    SHARED = 3
    LOCAL = 4
    BUDGET = 5
    BARRIER = 6  # some threads of a warp or block wait at one barrier, others at another
    TRAP = 7


class Unknown(Exception):
    """An instruction that is not translated; the checked engine may know it."""
