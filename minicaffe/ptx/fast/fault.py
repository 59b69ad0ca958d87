"""Why compiled code stopped, as the fault that the checked engine would tell."""

from collections.abc import Sequence

import numpy as np

from ..fault import EmulatorFault
from ..instruction import TYPES, Instruction
from ..layout import is_barrier
from ..memory import Memory
from ..program import Kernel
from .context import Reason, Word
from .lanes import WARP

_SPACES = {Reason.SHARED: "shared", Reason.LOCAL: "local"}


def fault_of(
    context: np.ndarray, kernel: Kernel, block: Sequence[int], budget: int, memory: Memory
) -> EmulatorFault:
    """The fault that the words of a context describe."""
    reason, number, lane, address = (int(word) for word in context[Word.FAULT : Word.RECENT])
    x, y, z = (int(word) for word in context[Word.BLOCK : Word.BLOCK + 3])
    thread = WARP * int(context[Word.WARP]) + lane
    at = thread % block[0], thread // block[0] % block[1], thread // (block[0] * block[1])
    instruction = kernel.instructions[number]
    kind, detail, place = "", "", None
    match reason:
        case Reason.GLOBAL:
            kind, detail, place = *_in_global(instruction, address, memory), address
        case Reason.SHARED | Reason.LOCAL:
            space = _SPACES[Reason(reason)]
            kind, place = f"{_access(instruction)} of {space} memory out of bounds", address
        case Reason.MISALIGNED:
            space = instruction.space if instruction.space in ("shared", "local") else "global"
            kind, place = f"{_access(instruction)} of {space} memory misaligned", address
        case Reason.BUDGET:
            kind = f"no end after {budget} instructions"
            detail = "an endless loop, or a budget that is too small"
        case Reason.BARRIER:
            kind, detail = "divergent barrier", "other threads wait at another one, or have ended"
            if not is_barrier(instruction):
                instruction = next(each for each in kernel.instructions if is_barrier(each))
        case Reason.TRAP:
            kind = "trap"
    return EmulatorFault(
        kind, kernel, instruction, detail=detail, block=(x, y, z), thread=at, address=place
    )


def _access(instruction: Instruction) -> str:
    if instruction.opcode in ("atom", "red"):
        return "atomic operation"
    return "write" if instruction.opcode == "st" else "read"


def _in_global(instruction: Instruction, address: int, memory: Memory) -> tuple[str, str]:
    access, found = _access(instruction), memory.find(address)
    if found is not None and found.read_only and access != "read":
        return f"{access} of read-only global memory", str(found)
    size = TYPES[instruction.type].itemsize if instruction.type else 4
    return (
        f"{access} of global memory out of bounds",
        f"{size} bytes {memory.describe(address)}",
    )
