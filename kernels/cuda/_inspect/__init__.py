"""What the inspector asks of the device `cuda`: see minicaffe/inspection/facts.py.

The PTX that is shown is the text that a GPU's driver or an emulator is given: kernels are compiled
with the lines of Python at all times (`_compile/ptx.py`). SASS, a GPU's own machine code, is made
of it where NVIDIA's assembler and disassembler are installed; a driver may bring another assembler.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from minicaffe.errors import Error
from minicaffe.inspection.facts import Form, KernelCall, Listing
from minicaffe.inspection.listing import ptx
from minicaffe.inspection.listing.names import kernel_place, last_line

from .._compile import jit
from .._compile.ptx import ptx_of
from .._compile.signature import type_of
from . import sass


class Key(NamedTuple):
    """What a kernel was compiled for."""

    kernel: jit.Kernel
    types: tuple[str, ...]
    compute_capability: tuple[int, int]


def forms() -> tuple[str, ...]:
    """What can be shown here: PTX, and SASS where its tools are installed."""
    return ("ptx", "sass") if sass.tools() else ("ptx",)


@contextmanager
def calls() -> Iterator[list[KernelCall]]:
    """The kernels that run inside, in order; each is waited for, so that its time is its own."""
    found: list[KernelCall] = []
    launch = jit.Launch.__call__

    def timed(self: jit.Launch, *args: Any) -> None:
        if 0 in self.grid:
            return launch(self, *args)
        try:
            types = tuple(map(type_of, args))
            backend = jit._backend_of(args)
            if (types, backend) not in self.kernel._loaded:
                self.kernel.load(types, backend)
            backend.synchronize()
        except Exception:  # what is wrong with it the launch itself tells best
            return launch(self, *args)
        begin = time.perf_counter()
        launch(self, *args)
        backend.synchronize()
        seconds = time.perf_counter() - begin
        name, file, line = kernel_place(self.kernel.body)
        key = Key(self.kernel, types, backend.compute_capability)
        found.append(
            KernelCall(name, ", ".join(types), file, line, 1e3 * seconds, _detail(self), key)
        )

    jit.Launch.__call__ = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        jit.Launch.__call__ = launch  # type: ignore[method-assign]


def _detail(launch: jit.Launch) -> str:
    """Grid and block in words."""
    words = f"grid {_extents(launch.grid)}, block {_extents(launch.block)}"
    return f"{words}, {launch.shared} bytes of dynamic shared memory" if launch.shared else words


def _extents(three: tuple[int, int, int]) -> str:
    count = max((axis for axis, extent in enumerate(three, 1) if extent > 1), default=1)
    return " x ".join(map(str, three[:count]))


def listing(call: KernelCall) -> Listing:
    """The code of a kernel that ran; `missing` says why there is none."""
    key: Key = call.key
    forms: dict[str, Form] = {}
    missing = ""
    try:
        text = ptx_of(key.kernel.body, key.types, key.compute_capability, **key.kernel.options)
    except Error as error:
        missing = str(error)
    else:
        forms["ptx"] = ptx.form(text)
        missing = forms["ptx"].missing
        if sass.tools():
            forms["sass"] = sass.form(text, key.compute_capability)
    name, file, first = kernel_place(key.kernel.body)
    last = last_line(key.kernel.body)
    return Listing("cuda", name, call.signature, file, first, last, forms, missing)
