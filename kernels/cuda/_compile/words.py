"""The words of a kernel: what it can say besides Python's arithmetic, loops and conditions.

A kernel is run by each thread of a grid of blocks. These names have a meaning inside kernels (and
functions marked `@inner`) only; `meanings.py` tells the compiler what it is. Nothing of CUDA has to
be installed to import them.

Types. Integers have 32 bits and floating-point numbers that are written in a kernel are float32.
`a // b` and `a % b` are Python's; they are fast where neither can be negative: numbers of threads
and blocks, shapes, counters of loops, integers that a kernel is called with, if they are not.

Arrays are contiguous. `x[i]`, `x[n, c, h, w]` are elements, `x[n]` of an array of several axes is
the part of it, without a copy; `x.shape` and `x.size` as in NumPy; there are no negative indices.
"""

from typing import Any, NoReturn

import numpy as np


class Axes:
    """Three numbers, x, y and z; most kernels use x alone."""

    x: int
    y: int
    z: int

    def __init__(self, register: str) -> None:
        self.register = register  # of the processor, by PTX's name


threadIdx = Axes("tid")  # which thread of its block this one is
blockIdx = Axes("ctaid")  # which block of the grid
blockDim = Axes("ntid")  # threads of a block
gridDim = Axes("nctaid")  # blocks of the grid

WARP = 32  # threads that go together

F32 = Any  # what an array of float32 is to a type checker; in kernels it is none of NumPy's
I32 = Any
U8 = Any


def _only_in_kernels() -> NoReturn:
    raise TypeError("this is a word for kernels, which only compiled code can say")


def grid() -> int:
    """The number of this thread in the whole grid: blockIdx.x * blockDim.x + threadIdx.x."""
    _only_in_kernels()


def gridsize() -> int:
    """How many threads the whole grid has along x."""
    _only_in_kernels()


def shared(shape: int | tuple[int, ...], dtype: type = np.float32) -> Any:
    """An array that the threads of a block share, of constant shape; not initialised.

    Each call makes another array. It begins at a multiple of 16 bytes.
    """
    _only_in_kernels()


def dynamic_shared(dtype: type = np.float32) -> Any:
    """The flat array of the bytes that the launch gave as its `shared`; the same at each call."""
    _only_in_kernels()


def local(shape: int | tuple[int, ...], dtype: type = np.float32) -> Any:
    """An array of this thread alone, of constant shape; not initialised.

    It lies in registers when all its indices are constants after unrolling, else in memory.
    """
    _only_in_kernels()


def syncthreads() -> None:
    """Wait until all threads of the block are here; what they wrote is then seen by all."""
    _only_in_kernels()


def syncwarp() -> None:
    """The same for the 32 threads of a warp."""
    _only_in_kernels()


def shuffle_xor(value: Any, lane: int) -> Any:
    """The value of the thread of this warp whose number differs by the bits of `lane`."""
    _only_in_kernels()


def shuffle_down(value: Any, delta: int) -> Any:
    """The value of the thread `delta` further in this warp; its own where there is none."""
    _only_in_kernels()


def shuffle_up(value: Any, delta: int) -> Any:
    """The value of the thread `delta` before in this warp; its own where there is none."""
    _only_in_kernels()


def shuffle(value: Any, lane: int) -> Any:
    """The value of thread `lane` of this warp."""
    _only_in_kernels()


def ballot(condition: bool) -> Any:
    """The condition of all threads of the warp, a bit each, as a uint32."""
    _only_in_kernels()


def atomic_add(array: Any, index: Any, value: Any) -> Any:
    """Add to an element as one step, whoever else does; returns what was there before."""
    _only_in_kernels()


def atomic_max(array: Any, index: Any, value: Any) -> Any:
    """Raise an element of int32 to the value, as one step; returns what was there before."""
    _only_in_kernels()


def atomic_min(array: Any, index: Any, value: Any) -> Any:
    """Lower an element of int32 to the value, as one step; returns what was there before."""
    _only_in_kernels()


def load4(array: Any, index: int) -> Any:
    """The elements index ... index + 3 of a flat array, in one load; index is a multiple of 4."""
    _only_in_kernels()


def store4(array: Any, index: int, values: Any) -> None:
    """Write four values from `index` on, in one store; index is a multiple of 4."""
    _only_in_kernels()


def fma(a: float, b: float, c: float) -> float:
    """a b + c, rounded once."""
    _only_in_kernels()


def bits(x: Any) -> Any:
    """The bits of a float32 as an int32, or those of an int32 as a float32."""
    _only_in_kernels()


def copy_async4(target: Any, at: int, source: Any, index: int) -> None:
    """Begin to copy four elements of a flat array to a flat shared one (cp.async, 16 bytes).

    Both places are multiples of 4. They are there after `copies_commit` and `copies_wait`, for the
    other threads after `syncthreads` too.
    """
    _only_in_kernels()


def copy_async(target: Any, at: int, source: Any, index: int) -> None:
    """The same for one element (4 bytes)."""
    _only_in_kernels()


def copies_commit() -> None:
    """Make a group of the copies begun by this thread since the last one."""
    _only_in_kernels()


def copies_wait(pending: int) -> None:
    """Wait until at most so many (a constant) of this thread's groups are still under way."""
    _only_in_kernels()


def tf32(x: float) -> Any:
    """A float32 rounded to the 10 bits of mantissa that tensor cores multiply, as its bits."""
    _only_in_kernels()


def mma_tf32(a: Any, b: Any, c: Any) -> Any:
    """A warp's product of tensor cores: c + a b for a 16 x 8, b 8 x 8, c 16 x 8.

    a: 4 values of `tf32`, b: 2, c: 4 float32, a tuple each; the result: 4 float32. Of lane l, with
    g = l // 4 and t = l % 4: a is A[g, t], A[g + 8, t], A[g, t + 4], A[g + 8, t + 4];
    b is B[t, g], B[t + 4, g]; c is C[g, 2 t], C[g, 2 t + 1], C[g + 8, 2 t], C[g + 8, 2 t + 1].
    """
    _only_in_kernels()
