"""What is wrong in a kernel that runs here: a sentence with kernel, Python line and thread."""

from ..errors import KernelError, shown
from .instruction import Instruction
from .program import Kernel

Index = tuple[int, int, int]


class EmulatorFault(KernelError):
    """A kernel did what no kernel may do.

    kind         in a few words, such as "read out of bounds"; `KINDS` of the tests lists them
    kernel       the kernel's name, `line` and `file` the place in Python ("" and 0: unknown)
    instruction  the PTX instruction, with its own line
    block, thread, address   of the first thread at fault; None where there is no such thing
    """

    def __init__(
        self,
        kind: str,
        kernel: Kernel,
        instruction: Instruction | None = None,
        *,
        detail: str = "",
        block: Index | None = None,
        thread: Index | None = None,
        address: int | None = None,
    ) -> None:
        self.kind = kind
        self.kernel = kernel.name
        self.instruction = instruction
        self.file = instruction.file if instruction else ""
        self.line = instruction.python_line if instruction else 0
        self.block, self.thread, self.address = block, thread, address
        where = f"{shown(self.file)}:{self.line}, " if self.line else ""
        said = [f"{where}kernel {kernel.short_name}: {kind}"]
        if address is not None:
            said.append(f" at address {address:#x}")
        if detail:
            said.append(f": {detail}")
        if thread is not None:
            said.append(f"; block {_index(block)}, thread {_index(thread)}")
        elif block is not None:
            said.append(f"; block {_index(block)}")
        if instruction:
            said.append(f" (PTX line {instruction.line}: {instruction.text})")
        super().__init__("".join(said))


def _index(index: Index | None) -> str:
    return "(" + ", ".join(map(str, index or ())) + ")"
