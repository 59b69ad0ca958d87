"""What a GPU reaches at most, by our own kernels: float32, tensor cores with TF32, copies.

Each thread keeps eight sums in registers and touches no memory before the end, so that nothing but
the units for multiplication limits it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minicaffe.device import load_kernel
from minicaffe.kernels.cuda._compile.jit import kernel
from minicaffe.kernels.cuda._compile.words import F32, WARP, fma, grid, local, mma_tf32, tf32

BLOCKS, THREADS = 2048, 256
SUMS = 8  # independent ones of a thread: a unit takes some cycles for each
OF_A_WARP = 2 * 16 * 8 * 8  # operations of an instruction of tensor cores
COPIED = 1 << 26  # floats that the copy moves: larger than any cache
TURNS, CALLS = 5, 10


@kernel
def _multiply_adds(out: F32, factor: float, steps: int) -> None:
    total = local(SUMS)
    for s in range(SUMS):
        total[s] = factor * s
    for _ in range(steps):
        for s in range(SUMS):
            total[s] = fma(total[s], factor, 1.0)
    for s in range(1, SUMS):
        total[0] += total[s]
    out[grid()] = total[0]


@kernel
def _tensor_cores(out: F32, factor: float, steps: int) -> None:
    a = tf32(factor), tf32(factor), tf32(factor), tf32(factor)
    b = tf32(factor), tf32(factor)
    total = local((SUMS, 4))
    for s in range(SUMS):
        for e in range(4):
            total[s, e] = 0.0
    for _ in range(steps):
        for s in range(SUMS):
            c = total[s, 0], total[s, 1], total[s, 2], total[s, 3]
            c = mma_tf32(a, b, c)
            total[s, 0], total[s, 1], total[s, 2], total[s, 3] = c
    for s in range(1, SUMS):
        total[0, 0] += total[s, 0]
    out[grid()] = total[0, 0]


def float32_speed(blocks: int = BLOCKS, steps: int = 4096) -> float:
    """Operations a second with float32; a multiply-add is two. Raises AssertionError when wrong."""
    # x -> x / 2 + 1 goes to 2, whatever it begins with
    flops = 2.0 * SUMS * steps * blocks * THREADS
    return flops / _seconds(_multiply_adds, 0.5, blocks, steps, 2.0 * SUMS)


def tf32_speed(blocks: int = BLOCKS, steps: int = 1024) -> float:
    """The same on tensor cores with TF32."""
    flops = OF_A_WARP * SUMS * steps * blocks * (THREADS / WARP)
    return flops / _seconds(_tensor_cores, 0.5, blocks, steps, 2.0 * SUMS * steps)


def _seconds(kernel: Any, factor: float, blocks: int, steps: int, expected: float) -> float:
    """Of a launch, whose every number must be `expected`."""
    memory = load_kernel("memory", "cuda")
    out = memory.allocate(blocks * THREADS, "cuda")

    def call() -> None:
        kernel[blocks, THREADS](out, factor, steps)

    seconds = _fastest(call, memory)
    found = np.empty(out.shape, np.float32)
    memory.download(out, found)
    assert (found == expected).all(), f"{found[0]} where {expected} is expected"
    return seconds


def copy_speed(count: int = COPIED) -> float:
    """Bytes a second that a copy within the device reads and writes."""
    memory = load_kernel("memory", "cuda")
    a, b = (memory.allocate(count, "cuda") for _ in range(2))
    return 2.0 * a.nbytes / _fastest(lambda: memory.copy(a, b), memory)


def _fastest(call: Callable[[], None], memory: Any) -> float:
    """Seconds of a call, in the fastest of some turns."""
    call()
    turns = []
    for _ in range(TURNS):
        memory.synchronize("cuda")
        begun = time.perf_counter()
        for _ in range(CALLS):
            call()
        memory.synchronize("cuda")
        turns.append((time.perf_counter() - begun) / CALLS)
    return min(turns)
