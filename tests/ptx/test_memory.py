"""Memory of a GPU: loads, stores, atomic operations, and what may not be touched."""

import ctypes

import numpy as np
import pytest

from minicaffe.errors import DeviceError
from minicaffe.ptx import EmulatorFault, Memory
from tests.ptx.launching import Bench, kernel_text
from tests.ptx.one_instruction import execute


def test_addresses_are_those_of_the_process() -> None:
    memory = Memory()
    address = memory.allocate(16)
    memory.upload(address, np.arange(4, dtype=np.float32))
    assert address % 256 == 0
    assert list((ctypes.c_float * 4).from_address(address)) == [0, 1, 2, 3]
    got = np.zeros((2, 2), np.float32)
    memory.download(address, got)
    assert got.tolist() == [[0, 1], [2, 3]]


def test_upload_fill_copy_and_parts() -> None:
    memory = Memory()
    one, two = memory.allocate(40), memory.allocate(40)
    memory.fill(one, np.float32(2.5), 10)
    memory.upload(one + 8, np.array([1, 2], np.float32))
    memory.copy(two + 4, one, 20)
    got = np.zeros(5, np.float32)
    memory.download(two + 4, got)
    assert got.tolist() == [2.5, 2.5, 1, 2, 2.5]
    assert memory.used_bytes == 80
    memory.free(one)
    assert memory.used_bytes == 40


def test_what_does_not_fit_is_an_error() -> None:
    memory = Memory()
    address = memory.allocate(16, "weights")
    with pytest.raises(DeviceError, match=r"32 bytes at .* not all in the 16 bytes 'weights' at"):
        memory.upload(address, np.zeros(8, np.float32))
    with pytest.raises(DeviceError, match=r"4 bytes at .* are right after the end of the 16"):
        memory.download(address + 16, np.zeros(1, np.float32))
    with pytest.raises(DeviceError, match="nothing was allocated at 0x10"):
        memory.free(16)
    memory.free(address)
    with pytest.raises(DeviceError, match=r"in the 16 bytes 'weights' at \w+, which were freed"):
        memory.upload(address, np.zeros(1, np.float32))


COPY = kernel_text(
    ".param .u64 to, .param .u64 from, .param .u32 count",
    ".reg .b64 %a, %b; .reg .b32 %r; .reg .pred %p;",
    """
    ld.param.u64 %a, [from]; ld.param.u64 %b, [to]; ld.param.u32 %r, [count];
    setp.ge.u32 %p, %g, %r; @%p ret;
    mad.wide.u32 %a, %g, 4, %a; mad.wide.u32 %b, %g, 4, %b;
    ld.global.b32 %r, [%a];
    st.global.b32 [%b], %r;
    """,
)


def test_threads_of_many_blocks_and_batches() -> None:
    source, target = np.arange(10_000, dtype=np.int32), np.zeros(10_000, np.int32)
    Bench(COPY).run(target, source, 9_999, grid=80, block=128, lanes=1024)
    assert (target[:-1] == source[:-1]).all() and target[-1] == 0


@pytest.mark.parametrize(
    ("count", "kind"),
    [(65, "read of global memory out of bounds"), (64, "")],
)
def test_bounds(count: int, kind: str) -> None:
    bench = Bench(COPY)
    source, target = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    if not kind:
        return bench.run(target, source, count, grid=2, block=64)
    with pytest.raises(EmulatorFault) as caught:
        bench.run(target, source, count, grid=2, block=64)
    fault = caught.value
    assert (fault.kind, fault.block, fault.thread) == (kind, (1, 0, 0), (0, 0, 0))
    assert fault.instruction is not None and fault.instruction.opcode == "ld"
    assert "4 bytes, right after the end of the 256 bytes 'argument 1'" in str(fault)


def test_memory_that_was_freed_or_never_written_or_is_read_only() -> None:
    bench = Bench(COPY)
    memory, target = bench.memory, np.zeros(64, np.int32)
    empty = memory.allocate(256, "empty")
    with pytest.raises(EmulatorFault, match="read of global memory never written .*'empty'"):
        bench.run(target, empty, 64, block=64)
    bench.run(target, empty, 64, block=64, checks=False)
    memory.upload(empty, np.arange(63, dtype=np.int32))
    with pytest.raises(EmulatorFault, match=r"never written.*thread \(63, 0, 0\)"):
        bench.run(target, empty, 64, block=64)
    bench.run(target, empty, 63, block=64)
    memory.free(empty)
    with pytest.raises(EmulatorFault, match=r"read of global memory out of.*which were freed"):
        bench.run(target, empty, 63, block=64)
    target.flags.writeable = False
    with pytest.raises(EmulatorFault, match="write of read-only global memory"):
        bench.run(target, np.arange(64, dtype=np.int32), 64, block=64)


def test_what_a_kernel_writes_counts_as_written() -> None:
    bench = Bench(COPY)
    middle = bench.memory.allocate(256)
    source, target = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    bench.run(middle, source, 64, block=64)
    bench.run(target, middle, 64, block=64)
    assert (target == source).all()


def test_lanes_of_one_instruction_may_reach_for_several_arrays() -> None:
    one, two = np.arange(32, dtype=np.int32), 100 + np.arange(32, dtype=np.int32)
    out = np.zeros(32, np.int32)
    text = kernel_text(
        ".param .u64 one, .param .u64 two, .param .u64 out",
        ".reg .b64 %a, %b, %o; .reg .b32 %r; .reg .pred %p;",
        """
        ld.param.u64 %a, [one]; ld.param.u64 %b, [two]; ld.param.u64 %o, [out];
        setp.lt.u32 %p, %t, 10; selp.b64 %a, %a, %b, %p;
        mad.wide.u32 %a, %t, 4, %a; mad.wide.u32 %o, %t, 4, %o;
        ld.global.b32 %r, [%a]; st.global.b32 [%a], %t; st.global.b32 [%o], %r;
        """,
    )
    Bench(text).run(one, two, out)
    assert out.tolist() == [*range(10), *range(110, 132)]
    assert two.tolist() == [*range(100, 110), *range(10, 32)]


@pytest.mark.parametrize(
    ("kind", "dtype", "count"),
    [("f32", "f4", 4), ("f32", "f4", 2), ("u64", "u8", 2), ("u8", "u1", 4)],
)
def test_vectors(kind: str, dtype: str, count: int) -> None:
    a = np.arange(32 * count).astype(dtype)
    register = {"u8": "b16", "u64": "b64"}.get(kind, kind)
    names = ", ".join(f"%x{n}" for n in range(count))
    back = ", ".join(f"%x{n}" for n in reversed(range(count)))
    size = a.itemsize * count
    text = kernel_text(
        ".param .u64 a",
        f".reg .b64 %a; .reg .{register} %x<4>;",
        f"""
        ld.param.u64 %a, [a]; mad.wide.u32 %a, %t, {size}, %a;
        ld.global.v{count}.{kind} {{{names}}}, [%a];
        st.global.v{count}.{kind} [%a], {{{back}}};
        """,
    )
    want = a.reshape(32, count)[:, ::-1].copy()
    Bench(text).run(a)
    assert (a.reshape(32, count) == want).all()
    with pytest.raises(EmulatorFault, match=f"misaligned .*: {size} bytes at once"):
        Bench(text.replace("[%a];", f"[%a+{a.itemsize}];")).run(a)


def test_local_memory_belongs_to_a_thread() -> None:
    body = """
        .local .align 8 .b8 depot[32];
        .reg .b64 p, q; .reg .b32 r;
        mov.u64 p, depot; cvta.local.u64 q, p;
        st.local.u32 [p], a; st.u32 [q+4], 7;
        and.b32 r, a, 1; mul.wide.u32 p, r, 4; add.s64 q, q, p;
        ld.u32 d, [q];
    """
    a = np.arange(100, dtype=np.uint32)
    (got,) = execute(body, [a], "uint32")
    assert (got == np.where(a % 2, 7, a)).all()
    outside = "mov.u64 p, depot; add.s64 p, p, 30; ld.local.u32 d, [p];"
    declared = ".local .align 8 .b8 depot[32]; .reg .b64 p;"
    with pytest.raises(EmulatorFault, match="read of local memory out of bounds at address 0x1e"):
        execute(declared + outside, [a], "uint32")
    with pytest.raises(EmulatorFault, match="read of local memory never written"):
        execute(declared + outside.replace("30", "8"), [a], "uint32")


def test_variables_of_a_module() -> None:
    text = kernel_text(
        ".param .u64 out",
        ".reg .b64 %a, %o; .reg .b32 %r, %s;",
        """
        ld.param.u64 %o, [out]; mad.wide.u32 %o, %t, 4, %o;
        mov.u64 %a, table; mad.wide.u32 %a, %t, 4, %a; ld.const.u32 %r, [%a];
        ld.global.u32 %s, [count]; add.u32 %r, %r, %s;
        st.global.u32 [%o], %r;
        """,
        outside=".const .align 4 .b32 table[4] = {5, 6, 7}; .global .u32 count = 100;",
    )
    out = np.zeros(4, np.int32)
    Bench(text).run(out, block=4)
    assert out.tolist() == [105, 106, 107, 100]


def test_generic_addresses_of_all_spaces() -> None:
    text = kernel_text(
        ".param .u64 out",
        ".reg .b64 %a, %s, %o; .reg .b32 %r; .reg .pred %p, %q; .shared .b32 word[32];",
        """
        ld.param.u64 %o, [out]; mad.wide.u32 %o, %t, 4, %o;
        mov.u64 %s, word; mad.wide.u32 %s, %t, 4, %s; cvta.shared.u64 %s, %s;
        setp.lt.u32 %p, %t, 16;
        selp.b64 %a, %s, %o, %p;
        st.u32 [%a], %t;
        isspacep.shared %q, %a;
        ld.u32 %r, [%a];
        @%q add.u32 %r, %r, 100;
        st.global.u32 [%o], %r;
        """,
    )
    out = np.zeros(32, np.int32)
    Bench(text).run(out)
    assert out.tolist() == [*range(100, 116), *range(16, 32)]


def atomic(
    instruction: str, values: np.ndarray, cells: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """The old values; `cells` are changed."""
    kind = {"f": "f", "i": "s", "u": "u"}[values.dtype.kind] + str(8 * values.itemsize)
    register = kind if kind[0] == "f" else f"b{kind[1:]}"
    text = kernel_text(
        ".param .u64 cells, .param .u64 places, .param .u64 values, .param .u64 old",
        f".reg .b64 %a, %b, %v, %o; .reg .b32 %r; .reg .{register} %x, %y;",
        f"""
        ld.param.u64 %a, [cells]; ld.param.u64 %b, [places];
        ld.param.u64 %v, [values]; ld.param.u64 %o, [old];
        mad.wide.u32 %b, %g, 4, %b; ld.global.u32 %r, [%b];
        mad.wide.u32 %a, %r, {values.itemsize}, %a;
        mad.wide.u32 %v, %g, {values.itemsize}, %v; ld.global.{kind} %x, [%v];
        mad.wide.u32 %o, %g, {values.itemsize}, %o;
        {instruction}
        st.global.{kind} [%o], %y;
        """,
    )
    old = np.zeros_like(values)
    Bench(text).run(cells, places.astype(np.uint32), values, old, grid=values.size // 32)
    return old


ATOMICS = {
    "atom.global.add.u32 %y, [%a], %x;": lambda old, x: (old + x) % 2**32,
    "atom.global.min.u32 %y, [%a], %x;": min,
    "atom.global.max.u32 %y, [%a], %x;": max,
    "atom.global.and.b32 %y, [%a], %x;": lambda old, x: old & x,
    "atom.global.or.b32 %y, [%a], %x;": lambda old, x: old | x,
    "atom.global.xor.b32 %y, [%a], %x;": lambda old, x: old ^ x,
    "atom.global.exch.b32 %y, [%a], %x;": lambda old, x: x,
    "atom.global.inc.u32 %y, [%a], %x;": lambda old, x: 0 if old >= x else old + 1,
    "atom.global.dec.u32 %y, [%a], %x;": lambda old, x: x if old == 0 or old > x else old - 1,
    "atom.global.cas.b32 %y, [%a], 3, %x;": lambda old, x: x if old == 3 else old,
}


@pytest.mark.parametrize("instruction", ATOMICS)
def test_atomic_operations_of_threads_one_after_the_other(instruction: str) -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 9, 96).astype(np.uint32)
    cells = np.array([3, 4, 2**32 - 1, 0, 5], np.uint32)
    places = random.integers(0, 5, 96)
    want, want_old = cells.tolist(), []
    for place, value in zip(places.tolist(), values.tolist(), strict=True):
        want_old.append(want[place])
        want[place] = ATOMICS[instruction](want[place], value)
    old = atomic(instruction, values, cells, places)
    assert cells.tolist() == want and old.tolist() == want_old


def test_red_is_an_atomic_operation_without_result() -> None:
    values, cells = np.arange(64, dtype=np.int32), np.zeros(3, np.int32)
    atomic("red.global.add.s32 [%a], %x; mov.b32 %y, 0;", values, cells, np.arange(64) % 3)
    assert cells.tolist() == [sum(range(k, 64, 3)) for k in range(3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_atomic_sums_of_floats_are_in_the_order_of_threads(dtype: str) -> None:
    random = np.random.default_rng(0)
    values = (random.standard_normal(96) * 10.0 ** random.integers(-5, 5, 96)).astype(dtype)
    for used in ("%y", "_"):
        cells = np.ones(1, dtype)
        move = "" if used == "%y" else f" mov.f{dtype[5:]} %y, %x;"
        text = f"atom.global.add.f{dtype[5:]} {used}, [%a], %x;{move}"
        atomic(text, values, cells, np.zeros(96, int))
        want = np.ones(1, dtype)
        for value in values:
            want += value
        assert cells[0] == want[0]


def test_atomic_sums_in_global_memory_know_no_subnormal_numbers() -> None:
    values = np.full(32, 2.0**-127, np.float32)
    cells = np.array([2.0**-126], np.float32)
    atomic("atom.global.add.f32 %y, [%a], %x;", values, cells, np.zeros(32, int))
    assert cells[0] == np.float32(2.0**-126)
