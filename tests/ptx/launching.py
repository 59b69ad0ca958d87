"""Texts of PTX with arrays as arguments."""

from typing import Any

import numpy as np

from minicaffe.ptx import Kernel, Memory, parse
from tests.ptx.both_engines import launch


def three(size: int | tuple[int, ...]) -> tuple[int, int, int]:
    """The sizes of a grid or a block, of which y and z may be left out."""
    sizes = (size,) if isinstance(size, int) else size
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


class Bench:
    """A kernel and a memory; `run` copies arrays there, and back what a kernel has made of them."""

    def __init__(self, text: str) -> None:
        self.kernel: Kernel = parse(text).kernel
        self.memory = Memory()

    def run(
        self,
        *arguments: Any,
        grid: int | tuple[int, ...] = 1,
        block: int | tuple[int, ...] = 32,
        shared: int = 0,
        **options: Any,
    ) -> None:
        """Launch with arrays, of which kernels get the addresses, and numbers."""
        values: list[Any] = []
        arrays = []
        for number, each in enumerate(arguments):
            if not isinstance(each, np.ndarray):
                values.append(each)
                continue
            address = self.memory.allocate(each.nbytes, f"argument {number}")
            self.memory.upload(address, each)
            if not each.flags.writeable:
                self.memory.set_read_only(address)
            arrays.append((address, each))
            values.append(address)
        packed = self.kernel.pack(values)
        try:
            launch(self.kernel, three(grid), three(block), shared, packed, self.memory, **options)
        finally:
            for address, array in arrays:
                if array.flags.writeable:
                    self.memory.download(address, array)


def kernel_text(
    parameters: str, registers: str, body: str, outside: str = "", target: str = "sm_80"
) -> str:
    """A text with one kernel, `k`; %t is the thread in its block, %g in the grid."""
    return f"""
        .version 8.0
        .target {target}
        .address_size 64
        {outside}
        .visible .entry k({parameters})
        {{
        .reg .b32 %t, %g, %n, %c;
        {registers}
        mov.u32 %t, %tid.x;
        mov.u32 %n, %ntid.x;
        mov.u32 %c, %ctaid.x;
        mad.lo.u32 %g, %c, %n, %t;
        {body}
        ret;
        }}
    """
