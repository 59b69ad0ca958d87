"""Integer instructions against Python's whole numbers."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.ptx.one_instruction import execute, one

TYPES = {
    "u16": "uint16",
    "s16": "int16",
    "u32": "uint32",
    "s32": "int32",
    "u64": "uint64",
    "s64": "int64",
}


def numbers(kind: str, seed: int = 0, count: int = 300) -> np.ndarray:
    """Of all sizes; the ends of the type and the neighbours of 0 among them."""
    dtype = np.dtype(TYPES[kind])
    limits, random = np.iinfo(dtype), np.random.default_rng(seed)
    bits = random.integers(0, 2**64, count, np.uint64, endpoint=False)
    sized = bits >> random.integers(64 - 8 * dtype.itemsize, 64, count).astype(np.uint64)
    ends = [limits.max, limits.min, limits.max - 1, 0, 1, 2, 3, 7]
    values = np.concatenate([sized.astype(dtype), np.array(ends, dtype)])
    if dtype.kind == "i":
        values = np.concatenate([values, -values])
    return random.permutation(np.resize(values, count))


def wrapped(value: int, kind: str) -> int:
    """The number of the type with the same lower bits."""
    bits = int(kind[1:])
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind[0] == "s" and value >> (bits - 1) else value


def by_hand(function: Callable[..., int], kind: str, *inputs: np.ndarray) -> np.ndarray:
    rows = zip(*(each.tolist() for each in inputs), strict=True)
    return np.array([wrapped(function(*row), kind) for row in rows], TYPES[kind])


def quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else -1


def rest(a: int, b: int) -> int:
    return a - b * quotient(a, b) if b else a


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("add", lambda a, b: a + b),
        ("sub", lambda a, b: a - b),
        ("mul.lo", lambda a, b: a * b),
        ("div", quotient),
        ("rem", rest),
        ("min", min),
        ("max", max),
    ],
)
def test_two_operands(name: str, function: Callable[..., int], kind: str) -> None:
    a, b = numbers(kind, 1), numbers(kind, 2)
    got = one(f"{name}.{kind} d, a, b", a, b, result=TYPES[kind])
    np.testing.assert_array_equal(got, by_hand(function, kind, a, b))


@pytest.mark.parametrize("kind", TYPES)
def test_high_half_of_a_product(kind: str) -> None:
    a, b, bits = numbers(kind, 1), numbers(kind, 2), int(kind[1:])
    got = one(f"mul.hi.{kind} d, a, b", a, b, result=TYPES[kind])
    np.testing.assert_array_equal(got, by_hand(lambda x, y: x * y >> bits, kind, a, b))
    c = numbers(kind, 3)
    got = one(f"mad.hi.{kind} d, a, b, c", a, b, c, result=TYPES[kind])
    np.testing.assert_array_equal(got, by_hand(lambda x, y, z: (x * y >> bits) + z, kind, a, b, c))


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32"])
def test_wide_products(kind: str) -> None:
    wide = f"{kind[0]}{2 * int(kind[1:])}"
    a, b, c = numbers(kind, 1), numbers(kind, 2), numbers(wide, 3)
    got = one(f"mul.wide.{kind} d, a, b", a, b, result=TYPES[wide])
    np.testing.assert_array_equal(got, by_hand(lambda x, y: x * y, wide, a, b))
    got = one(f"mad.wide.{kind} d, a, b, c", a, b, c, result=TYPES[wide])
    np.testing.assert_array_equal(got, by_hand(lambda x, y, z: x * y + z, wide, a, b, c))


def test_mad_lo_and_saturated_sums() -> None:
    a, b, c = (numbers("s32", seed) for seed in (1, 2, 3))
    got = one("mad.lo.s32 d, a, b, c", a, b, c, result="int32")
    np.testing.assert_array_equal(got, by_hand(lambda x, y, z: x * y + z, "s32", a, b, c))
    got = one("add.sat.s32 d, a, b", a, b, result="int32")
    np.testing.assert_array_equal(got, np.clip(a.astype(np.int64) + b, -(2**31), 2**31 - 1))


@pytest.mark.parametrize("kind", ["s32", "s64", "s16"])
def test_one_operand(kind: str) -> None:
    a = numbers(kind)
    for name, function in {"neg": lambda x: -x, "abs": abs}.items():
        got = one(f"{name}.{kind} d, a", a, result=TYPES[kind])
        np.testing.assert_array_equal(got, by_hand(function, kind, a))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("constant", [None, 0, 5])
def test_shifts(kind: str, constant: int | None) -> None:
    a, bits = numbers(kind), int(kind[1:])
    count = np.random.default_rng(1).integers(0, 70, a.size).astype(np.uint32)
    operand = "b" if constant is None else str(constant)
    count = count if constant is None else np.full_like(count, constant)
    left = one(f"shl.b{bits} d, a, {operand}", a, count, result=TYPES[kind])
    np.testing.assert_array_equal(left, by_hand(lambda x, n: x << n, kind, a, count))
    right = one(f"shr.{kind} d, a, {operand}", a, count, result=TYPES[kind])
    np.testing.assert_array_equal(right, by_hand(lambda x, n: x >> n, kind, a, count))


@pytest.mark.parametrize("wrap", ["wrap", "clamp"])
def test_funnel_shifts(wrap: str) -> None:
    low, high = numbers("u32", 1), numbers("u32", 2)
    count = np.random.default_rng(1).integers(0, 70, low.size).astype(np.uint32)

    def shift(left: bool) -> Callable[[int, int, int], int]:
        def function(x: int, y: int, n: int) -> int:
            n = n % 32 if wrap == "wrap" else min(n, 32)
            both = y << 32 | x
            return both << n >> 32 if left else both >> n

        return function

    for side, left in (("l", True), ("r", False)):
        got = one(f"shf.{side}.{wrap}.b32 d, a, b, c", low, high, count, result="uint32")
        np.testing.assert_array_equal(got, by_hand(shift(left), "u32", low, high, count))


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_bitwise(bits: int) -> None:
    kind = f"u{bits}"
    a, b = numbers(kind, 1), numbers(kind, 2)
    for name, function in {
        "and": lambda x, y: x & y,
        "or": lambda x, y: x | y,
        "xor": lambda x, y: x ^ y,
    }.items():
        got = one(f"{name}.b{bits} d, a, b", a, b, result=TYPES[kind])
        np.testing.assert_array_equal(got, by_hand(function, kind, a, b))
    np.testing.assert_array_equal(one(f"not.b{bits} d, a", a, result=TYPES[kind]), ~a)
    got = one(f"cnot.b{bits} d, a", a, result=TYPES[kind])
    np.testing.assert_array_equal(got, (a == 0).astype(got.dtype))


@pytest.mark.parametrize("bits", [32, 64])
def test_counts_of_bits(bits: int) -> None:
    a = numbers(f"u{bits}")
    words = [f"{x:0{bits}b}" for x in a.tolist()]
    want = {
        f"popc.b{bits}": [word.count("1") for word in words],
        f"clz.b{bits}": [len(word) - len(word.lstrip("0")) for word in words],
        f"bfind.u{bits}": [word[::-1].rfind("1") % 2**32 for word in words],
    }
    for name, expected in want.items():
        assert one(f"{name} d, a", a, result="uint32").tolist() == expected
    reversed_bits = one(f"brev.b{bits} d, a", a, result=f"uint{bits}")
    assert reversed_bits.tolist() == [int(word[::-1], 2) for word in words]


def test_bfind_of_signed_numbers_and_as_a_shift() -> None:
    a = np.array([0, 1, -1, -2, 5, -(2**31), 2**31 - 1], np.int32)
    assert one("bfind.s32 d, a", a, result="uint32").tolist() == [
        2**32 - 1, 0, 2**32 - 1, 0, 2, 30, 30,
    ]  # fmt: skip
    b = np.array([0, 1, 6, 2**31], np.uint32)
    assert one("bfind.shiftamt.u32 d, a", b, result="uint32").tolist() == [2**32 - 1, 31, 29, 0]


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_fields_of_bits(kind: str) -> None:
    bits, a, b = int(kind[1:]), numbers(kind, 1), numbers(kind, 2)
    random = np.random.default_rng(1)
    begin, length = (random.integers(0, 80, a.size).astype(np.uint32) for _ in range(2))

    def extracted(value: int, at: int, count: int) -> int:
        taken = value >> at & ((1 << count) - 1)
        top = min(at + count - 1, bits - 1)
        if kind[0] == "s" and count and value >> top & 1:
            taken |= -1 << count
        return taken

    got = one(f"bfe.{kind} d, a, b, c", a, begin, length, result=TYPES[kind])
    np.testing.assert_array_equal(got, by_hand(extracted, kind, a, begin, length))

    def inserted(field: int, into: int, at: int, count: int) -> int:
        mask = ((1 << count) - 1) << at
        return into & ~mask | field << at & mask

    got = one(f"bfi.b{bits} d, a, b, c, e", a, b, begin, length, result=TYPES[kind])
    np.testing.assert_array_equal(got, by_hand(inserted, kind, a, b, begin, length))


def test_prmt() -> None:
    a, b = numbers("u32", 1), numbers("u32", 2)
    selector = numbers("u32", 3)

    def permuted(x: int, y: int, s: int) -> int:
        source = (y << 32 | x).to_bytes(8, "little")
        out = []
        for place in range(4):
            digit = s >> 4 * place & 15
            byte = source[digit & 7]
            out.append(255 * (byte >> 7) if digit & 8 else byte)
        return int.from_bytes(out, "little")

    got = one("prmt.b32 d, a, b, c", a, b, selector, result="uint32")
    np.testing.assert_array_equal(got, by_hand(permuted, "u32", a, b, selector))
    c = selector & np.uint32(3)
    got = one("prmt.b32.rc8 d, a, b, c", a, b, c, result="uint32")
    want = by_hand(lambda x, y, s: (x >> 8 * s & 255) * 0x01010101, "u32", a, b, c)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("table", [0x80, 0xE8, 0x96, 0xCA, 0x00, 0xFF])
def test_lop3(table: int) -> None:
    a, b, c = (numbers("u32", seed) for seed in (1, 2, 3))

    def combined(x: int, y: int, z: int) -> int:
        columns = ((x >> k & 1) * 4 + (y >> k & 1) * 2 + (z >> k & 1) for k in range(32))
        return sum((table >> column & 1) << k for k, column in enumerate(columns))

    got = one(f"lop3.b32 d, a, b, c, {table:#x}", a, b, c, result="uint32")
    np.testing.assert_array_equal(got, by_hand(combined, "u32", a, b, c))


def test_sums_of_64_bits_by_words_with_a_carry() -> None:
    a, b = numbers("u64", 1), numbers("u64", 2)
    for name, function in {"add": lambda x, y: x + y, "sub": lambda x, y: x - y}.items():
        body = f"""
            .reg .b32 a0, a1, b0, b1;
            mov.b64 {{a0, a1}}, a;  mov.b64 {{b0, b1}}, b;
            {name}.cc.u32 a0, a0, b0;
            {name}c.u32 a1, a1, b1;
            mov.b64 d, {{a0, a1}};
        """
        (got,) = execute(body, [a, b], "uint64")
        np.testing.assert_array_equal(got, by_hand(function, "u64", a, b))


def test_a_product_of_64_bits_by_words() -> None:
    a, b = numbers("u32", 1), numbers("u32", 2)
    c = numbers("u64", 3)
    body = """
        .reg .b32 c0, c1;
        mov.b64 {c0, c1}, c;
        mad.lo.cc.u32 c0, a, b, c0;
        madc.hi.u32 c1, a, b, c1;
        mov.b64 d, {c0, c1};
    """
    (got,) = execute(body, [a, b, c], "uint64")
    np.testing.assert_array_equal(got, by_hand(lambda x, y, z: x * y + z, "u64", a, b, c))


def test_comparisons() -> None:
    for kind in ("s32", "u32", "s64", "u64"):
        a, b = numbers(kind, 1), numbers(kind, 2)
        b = np.where(np.arange(a.size) % 4 == 0, a, b)
        for name in ("eq", "ne", "lt", "le", "gt", "ge"):
            got = one(f"setp.{name}.{kind} d, a, b", a, b, result="bool")
            np.testing.assert_array_equal(got, getattr(np, _NUMPY[name])(a, b))


_NUMPY = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_comparisons_with_nan(dtype: str) -> None:
    a = np.array([1, 2, np.nan, 1, np.nan, -0.0], dtype)
    b = np.array([1, 1, 1, np.nan, np.nan, 0.0], dtype)
    kind = f"f{dtype[5:]}"
    unordered = np.isnan(a) | np.isnan(b)
    for name, numpy in _NUMPY.items():
        ordered = getattr(np, numpy)(a, b)
        if name == "ne":
            ordered &= ~unordered  # setp.ne is false for a NaN
        got = one(f"setp.{name}.{kind} d, a, b", a, b, result="bool")
        np.testing.assert_array_equal(got, ordered)
        got = one(f"setp.{name}u.{kind} d, a, b", a, b, result="bool")
        np.testing.assert_array_equal(got, ordered | unordered)
    assert (one(f"setp.num.{kind} d, a, b", a, b, result="bool") == ~unordered).all()
    assert (one(f"setp.nan.{kind} d, a, b", a, b, result="bool") == unordered).all()


def test_predicates() -> None:
    a, b = np.array([1, 2, 3, 4], np.int32), np.array([2, 2, 2, 2], np.int32)
    p = np.array([True, False, True, False])
    for name, function in {
        "and": np.logical_and,
        "or": np.logical_or,
        "xor": np.logical_xor,
    }.items():
        got = one(f"setp.lt.{name}.s32 d, a, b, c", a, b, p, result="bool")
        np.testing.assert_array_equal(got, function(a < b, p))
        got = one(f"setp.lt.{name}.s32 d, a, b, !c", a, b, p, result="bool")
        np.testing.assert_array_equal(got, function(a < b, ~p))
    both = execute("setp.ge.s32 d|d1, a, b;", [a, b], ["bool", "bool"])
    assert both[0].tolist() == (a >= b).tolist() and both[1].tolist() == (a < b).tolist()
    assert one("selp.s32 d, a, b, c", a, b, p, result="int32").tolist() == [1, 2, 3, 2]
    assert one("not.pred d, a", p, result="bool").tolist() == (~p).tolist()
    assert one("and.pred d, a, b", p, ~p, result="bool").tolist() == [False] * 4
    assert one("mov.pred d, a", p, result="bool").tolist() == p.tolist()
    assert one("set.lt.u32.s32 d, a, b", a, b, result="uint32").tolist() == [2**32 - 1, 0, 0, 0]
    assert one("set.ge.f32.s32 d, a, b", a, b, result="float32").tolist() == [0, 1, 1, 1]
    assert one("slct.s32.s32 d, a, b, c", a, b, a - 3, result="int32").tolist() == [2, 2, 3, 4]


def test_a_predicate_guards_an_instruction() -> None:
    a = np.arange(8, dtype=np.int32)
    body = "setp.gt.s32 p, a, 4; mov.u32 d, 7; @p mov.u32 d, a; @!p add.s32 d, d, 1;"
    (got,) = execute(".reg .pred p; " + body, [a], "int32")
    assert got.tolist() == [8, 8, 8, 8, 8, 5, 6, 7]


def test_packing_and_unpacking() -> None:
    a, b = numbers("u32", 1), numbers("u32", 2)
    both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    (got,) = execute("mov.b64 d, {a, b};", [a, b], "uint64")
    np.testing.assert_array_equal(got, both)
    low, high = execute("mov.b64 {d, d1}, a;", [both], ["uint32", "uint32"])
    np.testing.assert_array_equal(low, a)
    np.testing.assert_array_equal(high, b)
    halves = execute("mov.b32 {d, d1}, a;", [a], ["uint16", "uint16"])
    np.testing.assert_array_equal(halves[1], a >> np.uint32(16))
    (top,) = execute("mov.b64 {_, d}, a;", [both], "uint32")
    np.testing.assert_array_equal(top, b)
