"""A kernel as machine code: PTX -> LLVM IR -> object file, which may be kept on disk."""

import ctypes
import hashlib
import math
import os
import pkgutil
import struct
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from ..memory import Memory
from ..program import Kernel, Variable
from .allocations import define_search
from .context import NOWHERE, WORDS, Word
from .fault import fault_of
from .grid import define_blocks
from .lanes import WARP
from .warp import Warp

_HEAD = "<I"  # before the object file: bytes of saved registers a warp


class Compiled:
    """A kernel that this machine's processor can run.

    kernel   what it was made of
    code     what `translate` gave for it, on a machine of this kind
    """

    def __init__(self, kernel: Kernel, code: bytes) -> None:
        self.kernel = kernel
        self.shared_bytes = kernel.shared_bytes
        (self.saved_bytes,) = struct.unpack_from(_HEAD, code)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine().target())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code[struct.calcsize(_HEAD) :]))
        self._engine.finalize_object()
        pointers, words = [ctypes.c_void_p] * 3, [ctypes.c_int32] * 3
        signature = ctypes.CFUNCTYPE(
            ctypes.c_int32, *pointers, *words, ctypes.c_uint32, ctypes.c_int64
        )
        self._blocks = signature(self._engine.get_function_address("blocks"))

    def run(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        shared: int,
        arguments: bytes,
        memory: Memory,
        budget: int,
    ) -> None:
        """Run the kernel to its end; see `fast.run`."""
        kernel = self.kernel
        threads = math.prod(block)
        warps = -(-threads // WARP)
        context = np.zeros(WORDS + 2 * len(kernel.instructions), np.int64)
        context[WORDS:] = np.tile(NOWHERE, len(kernel.instructions))
        local = np.zeros(kernel.local_bytes * WARP * warps + 64, np.uint8)
        within = np.zeros(kernel.shared_bytes + shared + 64, np.uint8)
        saved = np.zeros(self.saved_bytes * warps + 64, np.uint8)
        given = np.frombuffer(arguments + bytes(16), np.uint8)
        places = memory.load(kernel)
        variables = np.array([places[name] for name in kernel.globals] or [0], np.int64)
        rows = _with(memory.table(), _aligned(within), _aligned(local))
        words = {
            Word.PARAMETERS: given.ctypes.data,
            Word.SHARED: _aligned(within).ctypes.data,
            Word.SHARED_BYTES: kernel.shared_bytes + shared,
            Word.LOCAL: _aligned(local).ctypes.data,
            Word.SAVED: saved.ctypes.data,
            Word.VARIABLES: variables.ctypes.data,
            Word.ALLOCATIONS: rows.ctypes.data,
            Word.ALLOCATION_COUNT: len(rows),
            Word.RECENT: context.ctypes.data + 8 * WORDS,
        }
        for place, value in words.items():
            context[place] = value
        context[Word.BLOCK_SIZE : Word.BLOCK_SIZE + 3] = block
        context[Word.GRID_SIZE : Word.GRID_SIZE + 3] = grid
        states, numbers = np.zeros(3 * warps, np.int32), _thread_numbers(tuple(block))
        last = (1 << (threads - WARP * (warps - 1))) - 1
        stopped = self._blocks(
            context.ctypes.data, states.ctypes.data, numbers.ctypes.data,
            0, math.prod(grid), warps, last, budget,
        )  # fmt: skip
        memory.mark_written()
        if stopped:
            raise fault_of(context, kernel, block, budget, memory)


class _Machine:
    """The processor that code is made for; MINICAFFE_VECTORS takes vectors of another away."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.name, features = llvm.get_host_cpu_name(), dict(llvm.get_host_cpu_features())
        vectors = os.environ.get("MINICAFFE_VECTORS", "")
        if vectors in ("avx2", "plain"):
            without = ("avx512",) if vectors == "avx2" else ("avx", "fma", "f16c", "amx")
            self.name = "haswell" if vectors == "avx2" else "x86-64"
            features = {name: on and not name.startswith(without) for name, on in features.items()}
        self.features = ",".join(f"{'+' if on else '-'}{name}" for name, on in features.items())
        self.portable = not features.get("avx512f", False)

    def target(self) -> Any:
        """LLVM's description of it, a new one: an engine takes its own along when it ends."""
        triple = llvm.Target.from_default_triple()
        return triple.create_target_machine(cpu=self.name, features=self.features, opt=2)


@cache
def machine() -> _Machine:
    """The processor of this process."""
    return _Machine()


@cache
def _own_source() -> bytes:
    """What a translation depends on besides the kernel: the files of this folder."""
    names = sorted(each.name for each in pkgutil.iter_modules(sys.modules[__package__].__path__))
    sources = (pkgutil.get_data(__package__, f"{name}.py") for name in names)
    return b"".join(source or b"" for source in sources)


def digest(kernel: Kernel) -> str:
    """A name for what `translate` gives: equal where the code is."""
    here = machine()
    facts = (
        [each.text for each in kernel.instructions], kernel.parameters, kernel.registers,
        kernel.labels, [_facts(each) for each in kernel.shared.values()],
        [_facts(each) for each in kernel.local.values()], list(kernel.globals),
        kernel.shared_bytes, kernel.local_bytes,
        here.name, here.features, llvm.llvm_version_info,
    )  # fmt: skip
    return hashlib.sha256(repr(facts).encode() + _own_source()).hexdigest()


def _facts(variable: Variable) -> tuple[str, int, int]:
    return variable.name, variable.size, variable.offset


def translate(kernel: Kernel) -> bytes:
    """The kernel's machine code. Raises Unknown for an instruction that is not known here."""
    here = machine()
    module = ir.Module(kernel.short_name)
    define_search(module)
    warp = Warp(kernel, module, here.portable)
    define_blocks(warp, module)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=1)
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
    target = here.target()
    builder = llvm.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(parsed, builder)
    code: bytes = target.emit_object(parsed)
    return struct.pack(_HEAD, warp.saved_bytes) + code


@cache
def _thread_numbers(block: tuple[int, ...]) -> np.ndarray:
    """(warps, 3, 32): %tid.x, .y and .z of each lane."""
    warps = -(-math.prod(block) // WARP)
    number = np.arange(WARP * warps)
    x, y, z = number % block[0], number // block[0] % block[1], number // (block[0] * block[1])
    lanes = np.stack([x, y, z], 1).reshape(warps, WARP, 3)
    return np.ascontiguousarray(lanes.transpose(0, 2, 1), np.int32)


def _aligned(room: np.ndarray) -> np.ndarray:
    """The bytes from a multiple of 32 on, but for the last of those that were added for it."""
    begin = -room.ctypes.data % 32
    return room[begin : begin + room.size - 64]


def _with(table: np.ndarray, *rooms: np.ndarray) -> np.ndarray:
    """The table of allocations, sorted, with shared and local memory: generic addresses may
    lie there."""
    rows = [(each.ctypes.data, each.ctypes.data + each.nbytes, 1) for each in rooms if each.size]
    if not rows:
        return table
    whole = np.concatenate([table, np.array(rows, np.int64)])
    return np.ascontiguousarray(whole[np.argsort(whole[:, 0])])
