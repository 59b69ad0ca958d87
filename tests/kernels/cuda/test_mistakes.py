"""What is wrong with a kernel, or with a launch, is one sentence with file and line."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.errors import KernelError
from minicaffe.kernels.cuda._compile.jit import inner, kernel
from minicaffe.kernels.cuda._compile.words import F32, grid, shared, syncthreads, threadIdx

HERE = r"^tests/kernels/cuda/test_mistakes\.py:\d+, kernel "


@kernel
def double(x: F32, y: F32) -> None:
    i = grid()
    if i < y.size:
        y[i] = 2 * x[i]


@kernel
def misspelt(x: F32, y: F32) -> None:
    y[0] = x[0] * doubel  # noqa: F821


@kernel
def greedy(x: F32) -> None:
    tile = shared((256, 256))
    tile[threadIdx.x, 0] = x[0]
    syncthreads()
    x[1] = tile[0, 0]


@kernel
def astray(x: F32) -> None:
    x[grid() + 1] = 1.0


@kernel
def endless(x: F32) -> None:
    while x[0] == 0:
        x[1] = 1.0


@kernel
def unfinished(x: F32, y: F32) -> None:
    tile = shared(64)
    tile[threadIdx.x] = x[threadIdx.x]
    y[threadIdx.x] = tile[63 - threadIdx.x]


@inner
def half(x: Any) -> Any:
    return x / 2


@pytest.fixture
def x(cuda: str) -> Any:
    return load_kernel("memory", cuda).allocate(64, cuda)


def test_a_wrong_number_of_arguments(x: Any) -> None:
    said = r"double: takes 2 arguments, by position \(x, y\), it is called with 1 here$"
    with pytest.raises(KernelError, match=HERE + said):
        double[1, 32](x)


def test_an_array_of_the_host(x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"double: .*an array of the host"):
        double[1, 32](np.zeros(3, np.float32), x)


def test_a_name_that_there_is_not(x: Any) -> None:
    said = r"misspelt: name 'doubel' is not defined; did you mean 'double'\?$"
    with pytest.raises(KernelError, match=HERE + said):
        misspelt[1, 1](x, x)


def test_a_launch_without_a_grid(x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"double: .*double\[grid, block\]\(\.\.\.\)$"):
        double(x, x)


@pytest.mark.parametrize("block", [2048, (32, 33), 0])
def test_a_block_that_no_gpu_has(x: Any, block: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"double: a block has 1 to 1024 threads, not "):
        double[1, block](x, x)


def test_a_grid_that_no_gpu_has(x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"double: a grid has at most .* blocks, not "):
        double[(1, 70000), 32](x, x)


def test_more_shared_memory_than_there_is(x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"greedy: its blocks want 262144 bytes of shared"):
        greedy[1, 32](x)
    with pytest.raises(KernelError, match=HERE + r"double: its blocks want 1000000 bytes of share"):
        double[1, 32, None, 1_000_000](x, x)


def test_inner_functions_are_for_kernels() -> None:
    with pytest.raises(TypeError, match="half is @inner: only kernels call it"):
        half(1.0)


def test_an_access_out_of_bounds(emulated: None, x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"astray: write .*out of bounds.*thread \(63, 0"):
        astray[1, 64](x)


def test_a_missing_barrier(emulated: None, x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"unfinished: race"):
        unfinished[1, 64](x, x)


def test_a_loop_without_an_end(emulated: None, x: Any) -> None:
    with pytest.raises(KernelError, match=HERE + r"endless: "):
        endless[1, 1](x)
