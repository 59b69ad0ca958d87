"""PTX, the assembly language of NVIDIA's GPUs, on machines that have none: parse it, run it.

    parse(text) -> Module            parser.py, program.py: kernels, instructions, basic blocks
    Memory                           memory.py: a GPU's memory, at real addresses of this process
    checked.launch(kernel, ...)      runs a kernel with NumPy, and checks each of its accesses

It lies in the core, not in kernels/cuda, for it knows neither Caffe nor Numba: a kernel is a text,
its arguments are bytes, and whoever compiles the one and packs the other may use it. It needs NumPy
alone, so that it runs where neither a GPU nor a compiler for one can be had.
"""

from .fault import EmulatorFault
from .memory import Memory
from .parser import parse
from .program import Kernel, Module

__all__ = ["EmulatorFault", "Kernel", "Memory", "Module", "parse"]
