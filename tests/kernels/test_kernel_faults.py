"""What goes wrong while a kernel runs: a KernelError on any number of threads, and no crash."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numba import prange

from minicaffe import set_num_threads
from minicaffe.errors import KernelError
from minicaffe.kernels.cpu._compile.jit import inner, kernel
from minicaffe.machine.threads import num_threads

Array = Any


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def said(kernel: Callable[..., None], *args: Any) -> str:
    with pytest.raises(KernelError) as caught:
        kernel(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- an exception in one part of a loop ----------------------------------------------------------


@kernel
def picky(x: Array) -> None:
    for i in prange(x.size):
        if x[i] < 0:
            raise ValueError("a number below 0")
        if x[i] > 9:
            raise ArithmeticError("a number above 9")
        x[i] += 1


@inner
def root(x: Any) -> Any:
    if x < 0:
        raise ValueError("no root of it", x)
    return np.sqrt(x)


@kernel
def rooted(x: Array) -> None:
    for i in prange(x.size):
        x[i] = root(x[i])


@pytest.mark.parametrize("place", [0, 3, 4, 7])
def test_an_exception_reaches_the_caller_from_any_thread(threads: int, place: int) -> None:
    x = ones(8)
    x[place] = -1
    line = picky.body.__code__.co_firstlineno + 4
    wanted = f"test_kernel_faults.py:{line}, kernel picky: ValueError: a number below 0"
    assert said(picky, x).endswith(wanted)


def test_of_two_exceptions_the_first_in_the_loop_counts(threads: int) -> None:
    for numbers, wanted in (([10, -1], "above 9"), ([-1, 10], "below 0")):
        x = ones(8)
        x[[1, 6]] = numbers
        assert wanted in said(picky, x)


def test_an_exception_of_a_function_that_is_called_with_its_numbers(threads: int) -> None:
    x = ones(6)
    x[5] = -4
    assert "kernel rooted: ValueError: ('no root of it', -4.0)" in said(rooted, x)


def test_kernels_work_after_one_that_failed(threads: int) -> None:
    x = ones(1000)
    for _ in range(20):
        said(picky, -x)
        picky(y := x.copy())
        np.testing.assert_array_equal(y, 2)


def test_a_thread_beside_the_one_that_has_the_pool_hears_of_its_own(threads: int) -> None:
    heard: list[str] = []
    both = [threading.Thread(target=lambda: heard.append(said(picky, -ones(500)))) for _ in "12"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert ["below 0" in text for text in heard] == [True, True]


# --- arrays of other kinds than the kernel was written for ---------------------------------------


@kernel
def doubled(x: Array, y: Array) -> None:
    for i in prange(y.size):
        y[i] = 2 * x[i]


@kernel
def copied(x: Array, y: Array) -> None:
    for i in prange(y.size):
        y[i] = x[i]


@kernel
def numbered(x: Array, y: Array) -> None:
    for i in prange(x.size):
        y[i] = i


@inner
def fill_all(y: Array, n: Any) -> None:
    for i in range(n):
        y[i, 0] = i


@kernel
def deeper(x: Array, y: Array) -> None:
    for i in prange(1):
        fill_all(y, x.size + i)


@kernel
def all_rows(x: Array, y: Array) -> None:
    for i in prange(x.shape[0]):
        y[i] = x[-1 - i]


@pytest.mark.parametrize(
    ("which", "x", "y"),
    [
        (copied, (8, 8), (8, 8)),
        (copied, (2, 3, 4), (2, 3, 4)),
        (copied, (64,), (8, 8)),
        (numbered, (64,), (8, 8)),
        (deeper, (64,), (8, 8, 8)),
        (all_rows, (4, 3), (2, 3)),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_rows_that_are_not_there(threads: int, which: Any, x: Any, y: Any) -> None:
    assert "an index goes beyond the rows of an array" in said(which, ones(*x), ones(*y))


def test_rows_that_are_there(threads: int) -> None:
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), ones(4, 3)
    all_rows(x, y)
    np.testing.assert_array_equal(y, x[::-1])


@pytest.mark.parametrize("x", [ones(8, 8), ones()], ids=["2", "0"])
def test_other_dimensions_are_found_when_the_kernel_is_compiled(threads: int, x: Array) -> None:
    doubled(ones(8), ones(8))
    assert "kernel doubled: " in said(doubled, x, ones(8))


@pytest.mark.parametrize("element", [np.float16, ">f8", object])
def test_elements_that_cannot_be_compiled(threads: int, element: Any) -> None:
    doubled(ones(8), ones(8))
    text = said(doubled, ones(8), ones(8).astype(element))
    assert f"'y' is an array of {np.dtype(element)}, which cannot be compiled" in text


def test_arrays_of_any_layout_and_number_have_code_of_their_own(threads: int) -> None:
    wide, back = ones(16)[::2], ones(8)[::-1]
    misaligned = np.zeros(33, np.uint8)[1:].view(np.float32)
    for y in (wide, back, misaligned, np.zeros(8), np.zeros(8, np.int32)):
        doubled(ones(8), y)
        np.testing.assert_array_equal(y, 2)
    y = ones(8)
    y.flags.writeable = False
    assert "Cannot modify readonly array" in said(doubled, ones(8), y)
