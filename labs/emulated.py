"""Functions of the device `cuda` in the emulator that checks, and what is counted meanwhile.

    from minicaffe.labs.emulated import run

    ran = run(relu.forward, x, y, 0.1, case="relu.forward, 1000 elements")
    close("y", ran.arrays[1], expected, ran.case)
    ran.check_coalesced()

What a kernel must not do (a race, an index beyond the end, an endless loop) fails the test with the
emulator's own sentence; so do the checks of `Ran`, each with the line of the kernel.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
from collections.abc import Set
from functools import cache
from typing import Any

import numpy as np
import pytest

from minicaffe.device import available, load_kernel
from minicaffe.errors import DeviceError, KernelError, shown
from minicaffe.ptx.checked import watching
from minicaffe.ptx.profile import GPUS, Profiler, Report

from .release import functions_of, is_blank

BUDGET = 200_000  # instructions of a batch of blocks: beyond them a loop is taken for endless


class Ran:
    """What a call left in its arrays, in the order of its arguments, and a report a kernel."""

    def __init__(self, arrays: list[Any], profiler: Profiler, case: str) -> None:
        self.arrays, self.case = arrays, case
        self.counters = profiler.counters

    def check_launched(self, kernels: int, blocks: int = 0, threads: int = 0) -> None:
        """Fail unless so many kernels ran; the last with so many blocks and threads each."""
        names = ", ".join(each.kernel.short_name for each in self.counters)
        assert len(self.counters) == kernels, (
            f"{self.case}: {len(self.counters)} kernels were launched ({names or 'none'}), expected"
            f" {kernels}"
        )
        (x, y, z), (across, down, deep) = self.counters[-1].grid, self.counters[-1].block
        assert not blocks or x * y * z == blocks, (
            f"{self.case}: {x * y * z} blocks were launched, expected {blocks}"
        )
        assert not threads or across * down * deep == threads, (
            f"{self.case}: a block has {across * down * deep} threads, expected {threads}"
        )

    def check_coalesced(self, most: float = 1.0) -> None:
        """Fail where requests to global memory move more than `most` times the sectors they need.

        The sentence names the worst line of the kernel.
        """
        for counters in self.counters:
            moved, needed = int(counters.sectors.sum()), int(counters.ideal.sum())
            if moved > most * needed:
                raise AssertionError(
                    f"{self.case}: the warps' requests to global memory move {moved} sectors of 32"
                    f" bytes where {needed} would do{self._worst(counters, 'sectors', 'ideal')}:"
                    " let neighbouring threads use neighbouring elements"
                )

    def check_passes(self, most: float) -> None:
        """Fail where requests to shared memory take more than `most` passes; names the worst line.

        Fails too where no kernel uses shared memory.
        """
        counters = self.counters[-1]
        parts, passes = int(counters.parts.sum()), int(counters.passes.sum())
        assert parts, f"{self.case}: nothing is read from or written to shared memory"
        assert passes <= most * parts, (
            f"{self.case}: a warp's request to shared memory takes {passes / parts:.2f} passes,"
            f" expected at most {most:g}{self._worst(counters, 'passes', 'parts')}: threads of a"
            " warp want different rows of one of the 32 banks, which it gives one after the other"
        )

    @property
    def requests(self) -> float:
        """Requests to global memory of a warp, on average."""
        counters = self.counters[-1]
        return float(counters.requests.sum() / (counters.threads / 32))

    def _worst(self, counters: Any, number: str, of: str) -> str:
        lines = Report(counters, GPUS["a100"]).lines()
        shares = [(each[number] / each[of], file, line) for file, line, each in lines if each[of]]
        share, file, line = max(shares, default=(0.0, "", 0))
        return f" (most at {shown(file)}:{line})" if share > 1 else ""


def run(function: Any, *args: Any, case: str) -> Ran:
    """Call a function with its arrays on the device.

    The same array twice is one array of the device. The arrays that were given stay as they are.
    A kernel that ran and is still to be written fails the test: compiled, it does nothing.
    """
    __tracebackhide__ = True
    _use_emulator()
    profiler = Profiler()
    there: dict[int, Any] = {}
    try:
        with watching(profiler.begin):
            function(*(_upload(arg, there) for arg in args))
    except KernelError as error:
        pytest.fail(_unwritten(function) or f"{case}: {error}", pytrace=False)
    ran = {counters.kernel.short_name for counters in profiler.counters}
    if stub := _unwritten(function, ran):
        pytest.fail(stub, pytrace=False)
    arrays = [_download(arg, there[id(arg)]) for arg in args if isinstance(arg, np.ndarray)]
    return Ran(arrays, profiler, case)


def _unwritten(function: Any, kernels: Set[str] | None = None) -> str:
    """What the stub of a kernel of the function's file says, or of what it calls; "" if none is.

    `kernels`: those that are looked at; None for all.
    """
    found = functions_of(inspect.getsource(inspect.getmodule(function) or function))
    for name in found.keys() if kernels is None else kernels & found.keys():
        called = {node.id for node in ast.walk(found[name]) if isinstance(node, ast.Name)}
        for part in (name, *sorted(called & found.keys())):
            if is_blank(found[part]):
                said = [node.value for node in ast.walk(found[part].body[-1])
                        if isinstance(node, ast.Constant)]  # fmt: skip
                return str(said[0])
    return ""


@cache
def _use_emulator() -> None:
    os.environ["MINICAFFE_CUDA"] = "emulate"
    can, why = available("cuda")
    if not can:
        raise DeviceError(why)
    backend: Any = importlib.import_module("minicaffe.kernels.cuda._backend")
    emulator: Any = importlib.import_module("minicaffe.kernels.cuda._backend.emulator")
    backend._of_card = cache(lambda card: emulator.Emulator("emulate", card, BUDGET))


def _upload(arg: Any, there: dict[int, Any]) -> Any:
    if not isinstance(arg, np.ndarray):
        return arg
    if id(arg) not in there:
        memory: Any = load_kernel("memory", "cuda")
        array = memory.allocate(arg.size, "cuda").view(arg.dtype.name).reshape(arg.shape)
        memory.upload(arg, array)
        there[id(arg)] = array
    return there[id(arg)]


def _download(host: Any, array: Any) -> Any:
    memory: Any = load_kernel("memory", "cuda")
    found = np.zeros_like(host)
    memory.download(array, found)
    return found
