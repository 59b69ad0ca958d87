"""Kernels with a fault each, and the same kernel without it: what the emulator must find and allow.

`python -m tests.ptx.compile_texts` makes PTX of them, which lies in texts/.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicaffe.kernels.cuda._compile.jit import Kernel, kernel
from minicaffe.kernels.cuda._compile.words import (
    F32,
    I32,
    atomic_add,
    copies_commit,
    copies_wait,
    copy_async4,
    grid,
    load4,
    local,
    shared,
    shuffle_down,
    shuffle_xor,
    syncthreads,
    syncwarp,
    threadIdx,
)


@dataclass(frozen=True)
class Fault:
    """A kernel as it is wrong or right, the types it is compiled for, and how it is launched."""

    make: Callable[[bool], Kernel]
    types: tuple[str, ...]
    kind: str  # what the emulator says of it
    grid: int
    block: int
    arguments: Callable[[], tuple[Any, ...]]


FAULTS: dict[str, Fault] = {}


def zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.float32)


def numbers(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(count).astype(np.float32)


def xy(count: int) -> Callable[[], tuple[Any, ...]]:
    return lambda: (numbers(count), zeros(count))


def fault(
    kind: str,
    grid: int,
    block: int,
    arguments: Callable[[], tuple[Any, ...]],
    types: tuple[str, ...] = ("float32[1]", "float32[1]"),
) -> Callable[[Callable[[bool], Kernel]], Callable[[bool], Kernel]]:
    """Add to the list what makes a kernel, right or wrong."""

    def add(make: Callable[[bool], Kernel]) -> Callable[[bool], Kernel]:
        FAULTS[make.__name__] = Fault(make, types, kind, grid, block, arguments)
        return make

    return add


# --- global memory -------------------------------------------------------------------------------


@fault("read of global memory out of bounds", 4, 256, xy(1000))
def out_of_bounds(right: bool) -> Kernel:
    @kernel
    def out_of_bounds(x: F32, y: F32) -> None:
        i = grid()
        if i < y.size or not right:
            y[i] = x[i]

    return out_of_bounds


@fault(
    "write of global memory out of bounds",
    1,
    64,
    lambda: (zeros(64), 1 << 26),
    ("float32[1]", "int32"),
)
def overflow_of_an_index(right: bool) -> Kernel:
    @kernel
    def overflow_of_an_index(y: F32, pitch: int) -> None:
        t = threadIdx.x
        row = t if right else t * pitch >> 26  # 32 bits are not enough for the product
        y[row] = 1.0

    return overflow_of_an_index


@fault(
    "lost write: threads write different values to one place",
    1,
    64,
    lambda: (numbers(64), zeros(1)),
)
def lost_update(right: bool) -> Kernel:
    @kernel
    def lost_update(x: F32, y: F32) -> None:
        if right:
            atomic_add(y, 0, x[threadIdx.x])
        else:
            y[0] += x[threadIdx.x]

    return lost_update


@fault("read of global memory misaligned", 1, 32, lambda: (numbers(130), zeros(32)))
def misaligned_vector(right: bool) -> Kernel:
    @kernel
    def misaligned_vector(x: F32, y: F32) -> None:
        t = threadIdx.x
        a, b, c, d = load4(x, 4 * t if right else 4 * t + 1)
        y[t] = a + b + c + d

    return misaligned_vector


def read_only(count: int) -> np.ndarray:
    array = numbers(count)
    array.flags.writeable = False
    return array


@fault("write of read-only global memory", 1, 64, lambda: (read_only(64), zeros(64)))
def write_to_an_input(right: bool) -> Kernel:
    @kernel
    def write_to_an_input(x: F32, y: F32) -> None:
        t = threadIdx.x
        y[t] = x[t]
        if not right:
            x[t] = 0.0

    return write_to_an_input


# --- shared memory -------------------------------------------------------------------------------


@fault("write of shared memory out of bounds", 1, 64, xy(64))
def shared_overflow(right: bool) -> Kernel:
    @kernel
    def shared_overflow(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        if t < 63 or not right:
            s[t + 1] = x[t]
        if t == 0:
            s[0] = 0.0
        syncthreads()
        y[t] = s[t]

    return shared_overflow


@fault("read of shared memory never written", 1, 64, xy(64))
def uninitialised_shared(right: bool) -> Kernel:
    @kernel
    def uninitialised_shared(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        if t > 0 or right:
            s[t] = x[t]
        syncthreads()
        y[t] = s[63 - t]

    return uninitialised_shared


@fault("race in shared memory: read of what another thread wrote", 1, 64, xy(64))
def missing_barrier(right: bool) -> Kernel:
    @kernel
    def missing_barrier(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        s[t] = x[t]
        if right:
            syncthreads()
        y[t] = s[63 - t]

    return missing_barrier


@fault(
    "race in shared memory: write of what another thread read",
    2,
    64,
    lambda: (numbers(512), zeros(128)),
)
def missing_second_barrier(right: bool) -> Kernel:
    """In a loop over tiles: the next one may be written before all have read this one."""

    @kernel
    def missing_second_barrier(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        total = 0.0
        for k in range(x.size // 64):
            s[t] = x[64 * k + t]
            syncthreads()
            for j in range(64):
                total += s[j]
            if right:
                syncthreads()
        y[grid()] = total

    return missing_second_barrier


@fault("race in shared memory: read of what another thread wrote", 1, 32, xy(32))
def missing_syncwarp(right: bool) -> Kernel:
    @kernel
    def missing_syncwarp(x: F32, y: F32) -> None:
        s = shared(32)
        t = threadIdx.x
        s[t] = x[t]
        if right:
            syncwarp()
        y[t] = s[31 - t]

    return missing_syncwarp


@fault(
    "race in shared memory: read of what another thread changed by an atomic operation",
    1,
    64,
    lambda: (np.arange(64, dtype=np.int32), np.zeros(8, np.int32)),
    ("int32[1]", "int32[1]"),
)
def histogram_without_barrier(right: bool) -> Kernel:
    @kernel
    def histogram_without_barrier(x: I32, y: I32) -> None:
        s = shared(8, int)
        t = threadIdx.x
        if t < 8:
            s[t] = 0
        syncthreads()
        atomic_add(s, x[t] % 8, 1)
        if right:
            syncthreads()
        if t < 8:
            y[t] = s[t]

    return histogram_without_barrier


@fault("read of shared memory misaligned", 1, 16, lambda: (numbers(64), zeros(16)))
def wrong_alignment(right: bool) -> Kernel:
    @kernel
    def wrong_alignment(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        for j in range(4):
            s[16 * j + t] = x[16 * j + t]
        syncthreads()
        a, b, c, d = load4(s, 4 * t if right else 2 * t)
        y[t] = a + b + c + d

    return wrong_alignment


# --- barriers and warps --------------------------------------------------------------------------


@fault("divergent barrier", 1, 64, xy(64))
def divergent_barrier(right: bool) -> Kernel:
    @kernel
    def divergent_barrier(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        s[t] = x[t]
        if t < 32 or right:
            syncthreads()
        y[t] = s[t]

    return divergent_barrier


@fault("shuffle from a thread that is not there", 1, 20, xy(20))
def shuffle_from_nobody(right: bool) -> Kernel:
    @kernel
    def shuffle_from_nobody(x: F32, y: F32) -> None:
        t = threadIdx.x
        y[t] = shuffle_xor(x[t], 1) if right else shuffle_down(x[t], 4)

    return shuffle_from_nobody


@fault(
    "shfl.sync.bfly.b32: not all threads of the warp that its mask names are here", 1, 32, xy(32)
)
def divergent_shuffle(right: bool) -> Kernel:
    @kernel
    def divergent_shuffle(x: F32, y: F32) -> None:
        t = threadIdx.x
        v = x[t]
        if right:
            w = shuffle_xor(v, 1)
            y[t] = w if t < 16 else v
        elif t < 16:
            y[t] = shuffle_xor(v, 1)
        else:
            y[t] = v

    return divergent_shuffle


# --- copies in the background --------------------------------------------------------------------


@fault("read of shared memory into which a cp.async copies", 1, 64, xy(64))
def missing_wait_for_a_copy(right: bool) -> Kernel:
    @kernel
    def missing_wait_for_a_copy(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        if t < 16:
            copy_async4(s, 4 * t, x, 4 * t)
        copies_commit()
        if right:
            copies_wait(0)
        syncthreads()
        y[t] = s[t]

    return missing_wait_for_a_copy


@fault("race in shared memory: read of what another thread wrote", 1, 64, xy(64))
def missing_barrier_after_a_copy(right: bool) -> Kernel:
    @kernel
    def missing_barrier_after_a_copy(x: F32, y: F32) -> None:
        s = shared(64)
        t = threadIdx.x
        if t < 16:
            copy_async4(s, 4 * t, x, 4 * t)
        copies_commit()
        copies_wait(0)
        if right:
            syncthreads()
        y[t] = s[t]

    return missing_barrier_after_a_copy


@fault(
    "read of shared memory into which a cp.async copies", 1, 32, lambda: (numbers(512), zeros(32))
)
def stale_double_buffer(right: bool) -> Kernel:
    """While one buffer is read the other is filled; at the end there is nothing left to fill."""

    @kernel
    def stale_double_buffer(x: F32, y: F32) -> None:
        s = shared(256)
        t = threadIdx.x
        total = 0.0
        tiles = x.size // 128
        copy_async4(s, 4 * t, x, 4 * t)
        copies_commit()
        for k in range(tiles):
            here = k % 2 * 128
            if k + 1 < tiles:
                copy_async4(s, 128 - here + 4 * t, x, 128 * (k + 1) + 4 * t)
                copies_commit()
                copies_wait(1)
            elif right:
                copies_wait(0)
            syncthreads()
            total += s[here + (4 * t + 5) % 128]
            syncthreads()
        y[t] = total

    return stale_double_buffer


# --- the rest ------------------------------------------------------------------------------------


@fault(
    "read of local memory out of bounds",
    1,
    32,
    lambda: (numbers(8), np.arange(32, dtype=np.int32), zeros(32)),
    ("float32[1]", "int32[1]", "float32[1]"),
)
def local_out_of_bounds(right: bool) -> Kernel:
    @kernel
    def local_out_of_bounds(x: F32, places: I32, y: F32) -> None:
        a = local(8)
        t = threadIdx.x
        for j in range(8):
            a[j] = x[j]
        y[t] = a[places[t] % 8 if right else places[t]]

    return local_out_of_bounds


@fault("no end after 20000 instructions", 1, 32, lambda: (zeros(32),), ("float32[1]",))
def endless_loop(right: bool) -> Kernel:
    @kernel
    def endless_loop(y: F32) -> None:
        t = threadIdx.x
        i = 0
        while i >= 0:
            i = (i + t) % 7
            y[t] = i
            if right:
                i = -1

    return endless_loop
