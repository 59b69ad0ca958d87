"""Kernels of all sorts, right ones, with what NumPy says of them: none may be found at fault.

`python -m tests.ptx.compile_texts` makes PTX of them, which lies in texts/.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicaffe.kernels.cuda._compile.jit import Kernel, kernel
from minicaffe.kernels.cuda._compile.words import (
    F32,
    I32,
    atomic_add,
    atomic_max,
    ballot,
    blockDim,
    blockIdx,
    copies_commit,
    copies_wait,
    copy_async4,
    dynamic_shared,
    fma,
    grid,
    gridsize,
    load4,
    local,
    mma_tf32,
    shared,
    shuffle,
    shuffle_down,
    shuffle_up,
    shuffle_xor,
    store4,
    syncthreads,
    syncwarp,
    tf32,
    threadIdx,
)

Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """A kernel with its launch; `expected` are arrays for the last arguments, or None: any."""

    kernel: Kernel
    types: tuple[str, ...]
    grid: int | tuple[int, ...]
    block: int | tuple[int, ...]
    arguments: Callable[[], Arrays]
    expected: Callable[..., Sequence[np.ndarray]]
    tolerance: float = 0.0
    shared: int = 0


CASES: dict[str, Case] = {}
F1, F2, I1 = "float32[1]", "float32[2]", "int32[1]"


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def case(types: tuple[str, ...], grid: Any, block: Any, **more: Any) -> Callable[[Kernel], Kernel]:
    """Add a kernel to the list."""

    def add(made: Kernel) -> Kernel:
        CASES[made.body.__name__] = Case(made, types, grid, block, **more)
        return made

    return add


# --- element by element --------------------------------------------------------------------------


@case(
    (F1, F1, "float32"), 3, 64,
    arguments=lambda: (numbers(1001), numbers(1001, seed=1), np.float32(0.5)),
    expected=lambda x, y, a: [(a * x.astype(float) + y).astype(np.float32)],
)  # fmt: skip
@kernel
def axpy_in_strides(x: F32, y: F32, a: float) -> None:
    for i in range(grid(), y.size, gridsize()):
        y[i] = fma(a, x[i], y[i])


@case(
    (F1, F1), 2, 64,
    arguments=lambda: (numbers(512), zeros(512)),
    expected=lambda x, y: [np.maximum(x, 0)],
)  # fmt: skip
@kernel
def rectify_four_at_once(x: F32, y: F32) -> None:
    i = 4 * grid()
    a, b, c, d = load4(x, i)
    store4(y, i, (max(a, 0.0), max(b, 0.0), max(c, 0.0), max(d, 0.0)))


def steps_to_one(x: np.ndarray) -> np.ndarray:
    found = []
    for value in x.tolist():
        steps = 0
        while value != 1:
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            steps += 1
        found.append(steps)
    return np.array(found, np.int32)


@case(
    (I1, I1), 3, 64,
    arguments=lambda: (1 + np.arange(150, dtype=np.int32), zeros(150, dtype="int32")),
    expected=lambda x, y: [steps_to_one(x)],
)  # fmt: skip
@kernel
def loops_of_different_lengths(x: I32, y: I32) -> None:
    i = grid()
    if i < x.size:
        value, steps = x[i], 0
        while value != 1:
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            steps += 1
        y[i] = steps


# --- sums, orders, counts ------------------------------------------------------------------------


@case(
    (F1, F1), 5, 128,
    arguments=lambda: (numbers(600), zeros(1)),
    expected=lambda x, y: [np.array([x.sum(dtype=float)], np.float32)],
    tolerance=1e-5,
    shared=4 * 128,
)  # fmt: skip
@kernel
def sum_in_a_tree(x: F32, total: F32) -> None:
    s = dynamic_shared()
    t, i = threadIdx.x, grid()
    s[t] = x[i] if i < x.size else 0.0
    syncthreads()
    half = blockDim.x // 2
    while half > 0:
        if t < half:
            s[t] += s[t + half]
        syncthreads()
        half //= 2
    if t == 0:
        atomic_add(total, 0, s[0])


@case(
    (I1, I1), 2, 128,
    arguments=lambda: (np.arange(256, dtype=np.int32) * 7 % 50, zeros(256, dtype="int32")),
    expected=lambda x, y: [np.cumsum(x.reshape(2, 128), 1).reshape(-1)],
)  # fmt: skip
@kernel
def running_sums_of_blocks(x: I32, y: I32) -> None:
    of_warps = shared(4, int)
    t, lane, warp = threadIdx.x, threadIdx.x % 32, threadIdx.x // 32
    value = x[grid()]
    for step in (1, 2, 4, 8, 16):
        other = shuffle_up(value, step)
        if lane >= step:
            value += other
    if lane == 31:
        of_warps[warp] = value
    syncthreads()
    for before in range(warp):
        value += of_warps[before]
    y[grid()] = value
    if t < 0:
        y[0] = 0


@case(
    (I1, I1, I1), 1, 96,
    arguments=lambda: (
        np.arange(96, dtype=np.int32) * 31 % 17 - 8,
        zeros(2, dtype="int32"),
        zeros(96, dtype="int32"),
    ),
    expected=lambda x, count, y: [
        np.array([(x > 0).sum(), x.max()]),
        np.concatenate([x[x > 0], np.zeros((x <= 0).sum(), np.int32)]),
    ],
)  # fmt: skip
@kernel
def keep_what_is_positive(x: I32, count: I32, y: I32) -> None:
    t, lane = threadIdx.x, threadIdx.x % 32
    value = x[t]
    chosen = ballot(value > 0)
    mine, before = 0, 0
    for k in range(32):
        bit = 1 if chosen & (1 << k) else 0
        mine += bit
        before += bit if k < lane else 0
    for warp in range(3):  # one warp after the other, so that the order stays
        if t // 32 == warp:
            begin = 0
            if lane == 0:
                begin = atomic_add(count, 0, mine)
            begin = shuffle(begin, 0)
            if value > 0:
                y[begin + before] = value
        syncthreads()
    atomic_max(count, 1, value)


@case(
    (I1, I1), 4, 128,
    arguments=lambda: (np.arange(500, dtype=np.int32) ** 2 % 64, zeros(64, dtype="int32")),
    expected=lambda x, h: [np.bincount(x, minlength=64)],
)  # fmt: skip
@kernel
def histogram(x: I32, h: I32) -> None:
    s = shared(64, int)
    t, i = threadIdx.x, grid()
    if t < 64:
        s[t] = 0
    syncthreads()
    if i < x.size:
        atomic_add(s, x[i], 1)
    syncthreads()
    if t < 64:
        atomic_add(h, t, s[t])


@case(
    (F1, F1), 1, 64,
    arguments=lambda: (numbers(64), zeros(64)),
    expected=lambda x, y: [np.sort(x)],
)  # fmt: skip
@kernel
def bitonic_sort(x: F32, y: F32) -> None:
    s = shared(64)
    t = threadIdx.x
    s[t] = x[t]
    size = 2
    while size <= 64:
        stride = size // 2
        while stride > 0:
            syncthreads()
            other = t ^ stride
            if other > t:
                rising = (t & size) == 0
                if (s[t] > s[other]) == rising:
                    a, b = s[t], s[other]
                    s[t], s[other] = b, a
            stride //= 2
        size *= 2
    syncthreads()
    y[t] = s[t]


@case(
    (F1, I1, F1), 1, 64,
    arguments=lambda: (numbers(40), np.arange(9, dtype=np.int32) * 5 % 16, zeros(40)),
    expected=lambda x, order, y: [shuffled(x, order)],
)  # fmt: skip
@kernel
def an_array_of_a_thread(x: F32, order: I32, y: F32) -> None:
    a = local(16)
    i = grid()
    if i < y.size:
        for j in range(16):
            a[j] = x[(i + j) % x.size]
        for j in range(16):
            k = order[(i + j) % order.size]
            one, two = a[j], a[k]
            a[j], a[k] = two, one
        y[i] = a[0] - a[15]


def shuffled(x: np.ndarray, order: np.ndarray) -> np.ndarray:
    y = np.zeros_like(x)
    for i in range(x.size):
        a = [x[(i + j) % x.size] for j in range(16)]
        for j in range(16):
            k = order[(i + j) % order.size]
            a[j], a[k] = a[k], a[j]
        y[i] = a[0] - a[15]
    return y


# --- matrices ------------------------------------------------------------------------------------


@case(
    (F2, F2), (2, 3), (32, 8),
    arguments=lambda: (numbers(70, 45), zeros(45, 70)),
    expected=lambda x, y: [x.T],
)  # fmt: skip
@kernel
def transpose(x: F32, y: F32) -> None:
    tile = shared((32, 33))
    rows, columns = x.shape
    tx, ty = threadIdx.x, threadIdx.y
    row, column = blockIdx.y * 32, blockIdx.x * 32
    for j in range(ty, 32, 8):
        if row + j < rows and column + tx < columns:
            tile[j, tx] = x[row + j, column + tx]
    syncthreads()
    for j in range(ty, 32, 8):
        if column + j < columns and row + tx < rows:
            y[column + j, row + tx] = tile[tx, j]


@case(
    (F2, F2, F2), (3, 4), (16, 16),
    arguments=lambda: (numbers(50, 70), numbers(70, 40, seed=1), zeros(50, 40)),
    expected=lambda a, b, c: [(a.astype(float) @ b).astype(np.float32)],
    tolerance=1e-5,
)  # fmt: skip
@kernel
def product_in_tiles(a: F32, b: F32, c: F32) -> None:
    of_a, of_b = shared((16, 16)), shared((16, 16))
    rows, depth = a.shape
    columns = b.shape[1]
    x, y = threadIdx.x, threadIdx.y
    i, j = blockIdx.y * 16 + y, blockIdx.x * 16 + x
    total = 0.0
    for k in range(0, depth, 16):
        of_a[y, x] = a[i, k + x] if i < rows and k + x < depth else 0.0
        of_b[y, x] = b[k + y, j] if k + y < depth and j < columns else 0.0
        syncthreads()
        for q in range(16):
            total += of_a[y, q] * of_b[q, x]
        syncthreads()
    if i < rows and j < columns:
        c[i, j] = total


@case(
    (F1, F1, F1, "natural"), 2, 64,
    arguments=lambda: (numbers(32 * 8), numbers(32 * 128, seed=1), zeros(8 * 128), 32),
    expected=lambda a, b, c, depth: [
        (a.reshape(32, 8).T.astype(float) @ b.reshape(32, 128)).reshape(-1).astype(np.float32)
    ],
    tolerance=1e-5,
)  # fmt: skip
@kernel
def product_with_a_double_buffer(a: F32, b: F32, c: F32, depth: int) -> None:
    """A is (depth, 8), B (depth, 128); a block has 64 columns; 8 of depth are copied ahead."""
    of_a, of_b = shared(2 * 64), shared(2 * 512)
    total = local(8)
    t, column = threadIdx.x, blockIdx.x * 64
    for r in range(8):
        total[r] = 0.0
    if t < 16:
        copy_async4(of_a, 4 * t, a, 4 * t)
    for q in range(2):
        p = q * 4 + t // 16
        copy_async4(of_b, p * 64 + t % 16 * 4, b, p * 128 + column + t % 16 * 4)
    copies_commit()
    for k in range(0, depth, 8):
        here, there = k // 8 % 2, 1 - k // 8 % 2
        if k + 8 < depth:
            if t < 16:
                copy_async4(of_a, there * 64 + 4 * t, a, (k + 8) * 8 + 4 * t)
            for q in range(2):
                p = q * 4 + t // 16
                at = there * 512 + p * 64 + t % 16 * 4
                copy_async4(of_b, at, b, (k + 8 + p) * 128 + column + t % 16 * 4)
            copies_commit()
            copies_wait(1)
        else:
            copies_wait(0)
        syncthreads()
        for p in range(8):
            for r in range(8):
                total[r] += of_a[here * 64 + p * 8 + r] * of_b[here * 512 + p * 64 + t]
        syncthreads()
    for r in range(8):
        c[r * 128 + column + t] = total[r]


def upper_19_bits(x: np.ndarray) -> np.ndarray:
    bits = (np.ascontiguousarray(x).view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return bits.view(np.float32).astype(float)


@case(
    (F2, F2, F2), (3, 2), 32,
    arguments=lambda: (numbers(32, 64), numbers(64, 24, seed=1), zeros(32, 24)),
    expected=lambda a, b, c: [(upper_19_bits(a) @ upper_19_bits(b)).astype(np.float32)],
    tolerance=1e-5,
)  # fmt: skip
@kernel
def product_on_tensor_cores(a: F32, b: F32, c: F32) -> None:
    lane = threadIdx.x
    group, quad = lane // 4, lane % 4
    row, column = blockIdx.y * 16 + group, blockIdx.x * 8
    total = (0.0, 0.0, 0.0, 0.0)
    for k in range(0, a.shape[1], 8):
        left = (
            tf32(a[row, k + quad]),
            tf32(a[row + 8, k + quad]),
            tf32(a[row, k + quad + 4]),
            tf32(a[row + 8, k + quad + 4]),
        )
        right = (tf32(b[k + quad, column + group]), tf32(b[k + quad + 4, column + group]))
        total = mma_tf32(left, right, total)
    c[row, column + 2 * quad] = total[0]
    c[row, column + 2 * quad + 1] = total[1]
    c[row + 8, column + 2 * quad] = total[2]
    c[row + 8, column + 2 * quad + 1] = total[3]


@case(
    (F2, F2), 5, 64,
    arguments=lambda: (4 * numbers(5, 150), zeros(5, 150)),
    expected=lambda x, y: [softmax(x)],
    tolerance=2e-6,
)  # fmt: skip
@kernel
def softmax_of_a_row(x: F32, y: F32) -> None:
    s = shared(2)
    t, row, columns = threadIdx.x, blockIdx.x, x.shape[1]
    top = -3e38
    for j in range(t, columns, 64):
        top = max(top, x[row, j])
    for step in (16, 8, 4, 2, 1):
        top = max(top, shuffle_xor(top, step))
    if t % 32 == 0:
        s[t // 32] = top
    syncthreads()
    top = max(s[0], s[1])
    total = 0.0
    for j in range(t, columns, 64):
        y[row, j] = math.exp(x[row, j] - top)
        total += y[row, j]
    for step in (16, 8, 4, 2, 1):
        total += shuffle_down(total, step)
    syncthreads()
    if t % 32 == 0:
        s[t // 32] = total
    syncthreads()
    total = s[0] + s[1]
    for j in range(t, columns, 64):
        y[row, j] /= total


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(float) - x.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).astype(np.float32)


@case(
    (F1, F1), 2, 64,
    arguments=lambda: (numbers(128), zeros(128)),
    expected=lambda x, y: [x.reshape(-1, 32)[:, ::-1].reshape(-1)],
)  # fmt: skip
@kernel
def reverse_within_a_warp(x: F32, y: F32) -> None:
    s = shared(64)
    t = threadIdx.x
    s[t] = x[grid()]
    syncwarp()
    y[grid()] = s[t // 32 * 32 + 31 - t % 32]
