"""Texts that compilers write, as rows that know their lines of Python: nothing here compiles.

asm.py      machine code as LLVM writes it, of x86 and ARM    notes_x86.py    x86's in words
llvm.py     LLVM's intermediate code                          notes_llvm.py
ptx.py      code for GPUs, as NVIDIA's compiler writes it     notes_ptx.py
sass.py     and what its assembler makes of that              notes_sass.py
loops.py    which rows repeat, and how deep
lines.py    a row on its way, and rows to a `Form`
names.py    short names for files and for symbols

`form(text, ...)` of each of them gives a `Form` of facts.py.
"""
