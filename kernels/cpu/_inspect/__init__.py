"""What the inspector asks of the device `cpu`: see minicaffe/inspection/facts.py.

A kernel that is to be shown is compiled once more, in a process of its own, with lines
(`line_tables.py`); that the machine code has stayed the same is looked at, byte by byte
(`texts.py`). `way(plan, function)` says why a convolution goes the way that it goes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
from numba import types

from minicaffe.inspection.facts import KernelCall, Listing
from minicaffe.inspection.listing import asm, llvm
from minicaffe.inspection.listing.names import kernel_place, last_line
from minicaffe.machine.threads import num_threads

from .._compile import jit
from .texts import INTEL, texts_of
from .way import way

__all__ = ["calls", "forms", "listing", "way"]

Method = Callable[..., None]


class Key(NamedTuple):
    """What a kernel was compiled for: Numba's types, of `part` and `parts` too."""

    kernel: jit.Kernel[Any]
    kinds: tuple[Any, ...]


def forms() -> tuple[str, ...]:
    """What can be shown here; nothing where kernels are plain Python."""
    return () if jit.DISABLED else ("asm", "llvm")


@contextmanager
def calls() -> Iterator[list[KernelCall]]:
    """The kernels that run inside, in order, with their times; what compiling takes is no part.

    Kernels that were recorded (`recording.py`) and are made again are not seen.
    """
    found: list[KernelCall] = []
    parallel, alone = jit.Kernel.__call__, jit.Kernel.on_one_thread

    def timed(self: jit.Kernel[Any], run: Method, threads: int, args: Any, kwargs: Any) -> None:
        if kwargs or not jit.DISABLED:
            try:
                self._made(args)
            except Exception:  # what is wrong with it the call itself tells best
                return run(self, *args, **kwargs)
        begin = time.perf_counter()
        run(self, *args, **kwargs)
        seconds = time.perf_counter() - begin
        found.append(_call(self, args, 1e3 * seconds, threads))

    def on_threads(self: jit.Kernel[Any], *args: Any, **kwargs: Any) -> None:
        threads = num_threads() if jit._numbers(args) >= jit.SHORT else 1
        timed(self, parallel, threads, args, kwargs)

    def on_one(self: jit.Kernel[Any], *args: Any, **kwargs: Any) -> None:
        timed(self, alone, 1, args, kwargs)

    jit.Kernel.__call__ = on_threads  # type: ignore[method-assign]
    jit.Kernel.on_one_thread = on_one  # type: ignore[method-assign]
    try:
        yield found
    finally:
        jit.Kernel.__call__ = parallel  # type: ignore[method-assign]
        jit.Kernel.on_one_thread = alone  # type: ignore[method-assign]


def _call(kernel: jit.Kernel[Any], args: Any, ms: float, threads: int) -> KernelCall:
    name, file, line = kernel_place(kernel.body)
    kinds = numba.typeof(args).types
    words = "plain Python" if jit.DISABLED else f"{threads} thread{'s' if threads > 1 else ''}"
    key = Key(kernel, (types.int64, types.int64, *kinds))
    return KernelCall(name, ", ".join(map(str, kinds)), file, line, ms, words, key)


def listing(call: KernelCall) -> Listing:
    """The machine code of a kernel that ran, and what LLVM made it of."""
    key: Key = call.key
    name, file, first = kernel_place(key.kernel.body)
    last = last_line(key.kernel.body)
    if jit.DISABLED:
        why = "NUMBA_DISABLE_JIT is set: kernels are plain Python, there is no machine code"
        return Listing("cpu", name, call.signature, file, first, last, {}, why)
    texts = texts_of(key.kernel, key.kinds)
    if not texts.asm:
        return Listing("cpu", name, call.signature, file, first, last, {}, texts.missing)
    title = "machine code (Intel's syntax)" if INTEL else "machine code"
    forms = {
        "asm": asm.form(texts.asm, texts.symbol, title),
        "llvm": llvm.form(texts.llvm, texts.symbol),
    }
    return Listing("cpu", name, call.signature, file, first, last, forms, texts.missing)
