"""What the fast engine finds by itself, and machine code that travels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from minicaffe.errors import KernelError
from minicaffe.ptx import EmulatorFault, Kernel, Memory, fast, parse
from minicaffe.ptx.fast import compiled as machine_code
from tests.ptx.compile_texts import TEXTS
from tests.ptx.faulty import FAULTS
from tests.ptx.launching import kernel_text, three

# Of the planted faults those that one warp after the other, in order, can see.
SEEN = (
    "out_of_bounds", "shared_overflow", "local_out_of_bounds", "misaligned_vector",
    "wrong_alignment", "write_to_an_input", "overflow_of_an_index", "endless_loop",
)  # fmt: skip


def run(kernel: Kernel, arguments: list[Any], grid: int, block: int, **options: Any) -> None:
    memory, values = Memory(), list[Any]()
    for each in arguments:
        if not isinstance(each, np.ndarray):
            values.append(each)
            continue
        values.append(memory.allocate(each.nbytes))
        memory.upload(values[-1], each)
        memory.set_read_only(values[-1], not each.flags.writeable)
    given = kernel.pack(values)
    fast.launch(kernel, three(grid), three(block), 0, given, memory, **options)
    for address, each in zip(values, arguments, strict=True):
        if isinstance(each, np.ndarray) and each.flags.writeable:
            memory.download(address, each)


@pytest.mark.parametrize("name", SEEN)
def test_a_fault_is_found_without_the_checked_engine(name: str) -> None:
    fault, flat = FAULTS[name], list[Any]()
    for each in fault.arguments():
        flat += [each, *each.shape] if isinstance(each, np.ndarray) else [each]
    kernel = parse((TEXTS / f"{name}.ptx").read_text(encoding="utf-8")).kernel
    with pytest.raises(EmulatorFault) as caught:
        run(kernel, flat, fault.grid, fault.block, budget=20_000)
    assert caught.value.kind == fault.kind
    assert caught.value.file == "tests/ptx/faulty.py" and caught.value.line
    assert caught.value.block is not None and caught.value.thread is not None


def test_a_block_that_is_too_large_is_refused_in_a_sentence() -> None:
    kernel = parse(kernel_text("", "", "")).kernel
    with pytest.raises(KernelError, match="a block of 2048 threads, 1024 are the most"):
        run(kernel, [], 1, 2048)


def test_an_instruction_that_is_not_translated_is_named() -> None:
    kernel = parse(kernel_text("", ".reg .f32 %x;", "sqrt.rz.f32 %x, 0f40000000;")).kernel
    with pytest.raises(fast.Unknown, match=r"^PTX line \d+: sqrt.rz.f32 %x, 0f40000000$"):
        fast.translate(kernel)


def test_machine_code_has_a_name_that_follows_the_kernel() -> None:
    one, same, other = (
        parse(kernel_text("", ".reg .b32 %x;", f"mov.u32 %x, {value};")).kernel
        for value in (1, 1, 2)
    )
    assert fast.digest(one) == fast.digest(same) != fast.digest(other)


@contextmanager
def another_machine(vectors: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Translate for vectors of this width."""
    monkeypatch.setenv("MINICAFFE_VECTORS", vectors)
    machine_code.machine.cache_clear()
    try:
        yield
    finally:
        machine_code.machine.cache_clear()


SUM = """
    ld.param.u64 %p, [p];
    mov.f32 %sum, 0f00000000;
    mov.u32 %k, 0;
    again:
    mul.wide.u32 %at, %k, 4;
    add.s64 %at, %at, %p;
    ld.global.f32 %x, [%at];
    fma.rn.f32 %sum, %x, %x, %sum;
    add.u32 %k, %k, 1;
    setp.le.u32 %more, %k, %t;
    @%more bra again;
    mul.wide.u32 %at, %t, 4;
    add.s64 %at, %at, %p;
    bar.sync 0;
    st.global.f32 [%at], %sum;
"""


@pytest.mark.parametrize("vectors", ["", "avx2", "plain"])
@pytest.mark.parametrize("threads", [1, 32, 45, 256])
def test_the_same_bits_with_vectors_of_any_width(
    vectors: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    registers = ".reg .b64 %p, %at; .reg .b32 %k; .reg .f32 %x, %sum; .reg .pred %more;"
    kernel = parse(kernel_text(".param .u64 p", registers, SUM)).kernel
    x = np.random.default_rng(1).standard_normal(threads).astype(np.float32)
    want, total = x.copy(), np.float32(0)
    for k in range(threads):  # x^2 is exact in float64, so that a sum is rounded twice there
        total = np.float32(np.float64(x[k]) * np.float64(x[k]) + np.float64(total))
        want[k] = total
    with another_machine(vectors, monkeypatch):
        run(kernel, [x], 1, threads)
    np.testing.assert_allclose(x, want, rtol=1e-7)


@pytest.mark.parametrize("vectors", ["", "avx2", "plain"])
def test_blocks_of_a_grid_call_functions_of_lanes(
    vectors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack is as it was at every block: vectors that go there want their alignment."""
    body = """
        ld.param.u64 %p, [p];
        add.u32 %k, %g, 1;
        div.s32 %q, 1000, %k;
        bar.sync 0;
        mul.wide.u32 %at, %g, 4;
        add.s64 %at, %at, %p;
        st.global.u32 [%at], %q;
    """
    registers = ".reg .b64 %p, %at; .reg .b32 %k, %q;"
    kernel = parse(kernel_text(".param .u64 p", registers, body)).kernel
    x = np.zeros(8 * 64, np.int32)
    with another_machine(vectors, monkeypatch):
        run(kernel, [x], 8, 64)
    np.testing.assert_array_equal(x, 1000 // (np.arange(x.size) + 1))
