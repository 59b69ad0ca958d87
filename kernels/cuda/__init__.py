"""Kernels of the device `cuda`: Python that becomes PTX, for a GPU or for one of two emulators.

    <family>.py   the functions of kernels/reference/<family>.py; kernels stand below them
    memory.py     the device's memory; _array.py its arrays, _backend/ what runs kernels
    _compile/     words.py, what a kernel can say; jit.py, the decorators; the rest is the compiler
    _scalar.py, _reduce.py   formulas and sums that kernels share

An argument of a kernel is an address and an int32 for each axis, and integers have 32 bits: Numba's
own arrays and integers cost two to four times the instructions. docs/cuda.md has the figures, and
shows how a family is written.
"""
