"""Shuffles, votes, matches and reductions of warps, and mma, against plain Python."""

import numpy as np
import pytest

from minicaffe.ptx import EmulatorFault
from tests.ptx.launching import Bench, kernel_text
from tests.ptx.one_instruction import one

FULL = "0xffffffff"


def lanes(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 32)


@pytest.fixture
def a() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 1000, 128).astype(np.uint32)


@pytest.mark.parametrize("b", [0, 1, 3, 16, 31])
def test_shuffles(a: np.ndarray, b: int) -> None:
    lane = np.arange(32)
    sources = {
        ("down", 0x1F): np.where(lane + b < 32, lane + b, lane),
        ("up", 0): np.where(lane >= b, lane - b, lane),
        ("bfly", 0x1F): lane ^ b,
        ("idx", 0x1F): np.full(32, b),
    }
    for (mode, clamp), source in sources.items():
        got = one(f"shfl.sync.{mode}.b32 d, a, {b}, {clamp}, {FULL}", a, result="uint32")
        np.testing.assert_array_equal(lanes(got), lanes(a)[:, source])


def test_shuffles_in_parts_of_a_warp(a: np.ndarray) -> None:
    lane = np.arange(32)
    clamp = (32 - 8) << 8 | 0x1F  # parts of 8 lanes
    got = one(f"shfl.sync.down.b32 d, a, 3, {clamp}, {FULL}", a, result="uint32")
    np.testing.assert_array_equal(lanes(got), lanes(a)[:, np.where(lane % 8 < 5, lane + 3, lane)])
    got = one(f"shfl.sync.idx.b32 d, a, 2, {clamp}, {FULL}", a, result="uint32")
    np.testing.assert_array_equal(lanes(got), lanes(a)[:, lane // 8 * 8 + 2])
    got = one(f"shfl.sync.up.b32 d, a, 1, {(32 - 8) << 8}, {FULL}", a, result="uint32")
    np.testing.assert_array_equal(lanes(got), lanes(a)[:, np.where(lane % 8, lane - 1, lane)])


def test_a_shuffle_says_whether_its_source_was_inside(a: np.ndarray) -> None:
    text = f".reg .b32 r; shfl.sync.down.b32 r|d, a, 30, 0x1f, {FULL}"
    got = one(text, a, result="bool")
    np.testing.assert_array_equal(lanes(got), np.tile(np.arange(32) < 2, (4, 1)))


def test_votes(a: np.ndarray) -> None:
    even = a % 2 == 0
    want = (lanes(even) * (np.uint64(1) << np.arange(32, dtype=np.uint64))).sum(1)
    ballot = one(f"vote.sync.ballot.b32 d, a, {FULL}", even, result="uint32")
    np.testing.assert_array_equal(lanes(ballot), np.repeat(want[:, None], 32, 1))
    rows = np.stack([np.zeros(32, bool), np.arange(32) == 5, np.ones(32, bool)]).reshape(-1)
    for name, expected in {"any": [0, 1, 1], "all": [0, 0, 1], "uni": [1, 0, 1]}.items():
        got = one(f"vote.sync.{name}.pred d, a, {FULL}", np.resize(rows, 96), result="bool")
        assert lanes(got)[:, 0].tolist() == expected


def test_match_and_redux(a: np.ndarray) -> None:
    b = a % 5
    got = one(f"match.any.sync.b32 d, a, {FULL}", b, result="uint32")
    rows = lanes(b)
    want = [[sum(1 << j for j in range(32) if row[j] == x) for x in row] for row in rows]
    np.testing.assert_array_equal(lanes(got), want)
    same = np.repeat(np.arange(4, dtype=np.uint32), 32)
    assert (one(f"match.all.sync.b32 d, a, {FULL}", same, result="uint32") == 0xFFFFFFFF).all()
    assert (one(f"match.all.sync.b32 d, a, {FULL}", b, result="uint32") == 0).all()
    signed = a.astype(np.int32) - 500
    for name, want in {
        "add.s32": lanes(signed).sum(1),
        "min.s32": lanes(signed).min(1),
        "max.s32": lanes(signed).max(1),
    }.items():
        got = one(f"redux.sync.{name} d, a, {FULL}", signed, result="int32")
        np.testing.assert_array_equal(lanes(got)[:, 7], want)
    for name, function in {
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }.items():
        got = one(f"redux.sync.{name}.b32 d, a, {FULL}", a, result="uint32")
        np.testing.assert_array_equal(lanes(got)[:, 0], function.reduce(lanes(a), axis=1))


def test_members_of_a_mask_only() -> None:
    """Two groups of a warp, each with its own mask, execute one instruction."""
    value = np.arange(64, dtype=np.uint32)
    mask = np.where(value % 32 < 16, 0x0000FFFF, 0xFFFF0000).astype(np.uint32)
    got = one("redux.sync.add.u32 d, a, b", value, mask, result="uint32")
    halves = value.reshape(4, 16)
    np.testing.assert_array_equal(got.reshape(4, 16), np.repeat(halves.sum(1)[:, None], 16, 1))
    got = one("vote.sync.ballot.b32 d, c, b", value, mask, np.ones(64, bool), result="uint32")
    np.testing.assert_array_equal(got, mask)


def warp_text(body: str) -> str:
    return kernel_text(
        ".param .u64 out",
        ".reg .b32 %r, %m; .reg .b64 %o; .reg .pred %p, %q;",
        f"""
        mov.u32 %r, 0;
        {body}
        ld.param.u64 %o, [out];
        mad.wide.u32 %o, %g, 4, %o;
        st.global.u32 [%o], %r;
        """,
    )


def test_activemask_and_members_that_went_another_way() -> None:
    out = np.zeros(32, np.uint32)
    text = warp_text("setp.lt.u32 %p, %t, 5; @!%p bra L; activemask.b32 %r; L:")
    Bench(text).run(out)
    assert out.tolist() == [31] * 5 + [0] * 27
    inside = "setp.lt.u32 %p, %t, 5; @!%p bra L; vote.sync.any.pred %q, %p, {}; mov.u32 %r, 1; L:"
    Bench(warp_text(inside.format("0x1f"))).run(out)
    assert out.tolist() == [1] * 5 + [0] * 27
    with pytest.raises(EmulatorFault, match="not all threads of the warp that its mask names"):
        Bench(warp_text(inside.format(FULL))).run(out)
    with pytest.raises(EmulatorFault, match="its mask leaves out a thread that executes it"):
        Bench(warp_text(inside.format("0xf"))).run(out)


def test_a_mask_may_name_threads_that_have_ended() -> None:
    out = np.zeros(32, np.uint32)
    text = warp_text(f"setp.ge.u32 %p, %t, 20; @%p ret; redux.sync.add.u32 %r, %t, {FULL};")
    Bench(text).run(out)
    assert out.tolist() == [190] * 20 + [0] * 12


def test_a_shuffle_from_a_thread_that_never_was() -> None:
    text = warp_text(f"shfl.sync.down.b32 %r, %t, 4, 0x1f, {FULL};")
    with pytest.raises(
        EmulatorFault, match=r"shuffle from a thread.*lane 20 .*thread \(16, 0, 0\)"
    ):
        Bench(text).run(np.zeros(20, np.uint32), block=20)


@pytest.mark.parametrize("k", [4, 8])
def test_mma_of_tf32(k: int) -> None:
    """Fragments as PTX lays them out; sums within one rounding of float64."""
    random = np.random.default_rng(0)
    left, right, start = (
        random.standard_normal(shape).astype(np.float32) for shape in ((16, k), (k, 8), (16, 8))
    )
    registers = k // 2 + k // 4
    loads = "".join(f"ld.global.b32 %r{n}, [%a+{4 * n}];" for n in range(registers)) + "".join(
        f"ld.global.f32 %f{n}, [%c+{4 * n}];" for n in range(4)
    )
    a_of = ", ".join(f"%r{n}" for n in range(k // 2))
    b_of = ", ".join(f"%r{n}" for n in range(k // 2, registers))
    text = kernel_text(
        ".param .u64 a, .param .u64 c",
        ".reg .b32 %r<8>; .reg .f32 %f<4>; .reg .b64 %a, %c;",
        f"""
        ld.param.u64 %a, [a]; mad.wide.u32 %a, %t, {4 * registers}, %a;
        ld.param.u64 %c, [c]; mad.wide.u32 %c, %t, 16, %c;
        {loads}
        mma.sync.aligned.m16n8k{k}.row.col.f32.tf32.tf32.f32
            {{%f0, %f1, %f2, %f3}}, {{{a_of}}}, {{{b_of}}}, {{%f0, %f1, %f2, %f3}};
        st.global.v4.f32 [%c], {{%f0, %f1, %f2, %f3}};
        """,
    )
    lane = np.arange(32)
    group, quad = lane // 4, lane % 4
    fragments = [left[group + 8 * (n & 1), quad + 4 * (n >> 1)] for n in range(k // 2)]
    fragments += [right[quad + 4 * n, group] for n in range(k // 4)]
    sums = np.stack([start[group + 8 * (n >> 1), 2 * quad + (n & 1)] for n in range(4)], 1).copy()
    Bench(text).run(np.stack(fragments, 1), sums)

    def upper_19_bits(x: np.ndarray) -> np.ndarray:
        return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)

    want = start + upper_19_bits(left) @ upper_19_bits(right)
    got = np.zeros((16, 8), np.float32)
    for n in range(4):
        got[group + 8 * (n >> 1), 2 * quad + (n & 1)] = sums[:, n]
    np.testing.assert_allclose(got, want, rtol=2.0**-23, atol=1e-12)
