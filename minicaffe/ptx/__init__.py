"""PTX, the assembly language of NVIDIA's GPUs, on machines that have none: parse it, run it.

    parse(text) -> Module            parser.py, program.py: kernels, instructions, basic blocks
    Memory                           memory.py: a GPU's memory, at real addresses of this process
    checked.launch(kernel, ...)      runs a kernel with NumPy, and checks each of its accesses
    fast.launch(kernel, ...)         runs it as machine code, a warp as vectors of 32 lanes

It lies in the core, not in kernels/cuda, for it knows neither Caffe nor Numba: a kernel is a text,
its arguments are bytes, and whoever compiles the one and packs the other may use it. The parser and
the checked engine need NumPy alone, the fast one llvmlite, which Numba brings along: it all runs
where neither a GPU nor a compiler for one can be had.
"""

from .fault import EmulatorFault
from .memory import Memory
from .parser import parse
from .program import Kernel, Module

__all__ = ["EmulatorFault", "Kernel", "Memory", "Module", "parse"]
