"""Winograd's minimal filtering: its matrices, and vector code that applies them to LANES tiles.

F(m, r) gives m neighbouring outputs of a filter with r taps for m + r - 1 multiplications instead
of m r. Taps g and values d are polynomials; their product is known from its values at m + r - 1
points; and correlation is the transpose of multiplication. With one point at infinity,

    y = A^T [ (G g) * (B^T d) ]            y (m), g (r), d (m + r - 1), * by element

    G     values of the filter's polynomial at the points, over the factors of Lagrange's formula
    A^T   powers of the points: A evaluates a polynomial with m coefficients
    B^T   coefficients of the products of all (x - point) but one

(Toom 1963 and Cook 1966 for the polynomials; Winograd, "Arithmetic Complexity of Computations",
1980, for the filters; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016,
for convolution by channels.) In two dimensions each matrix is applied to columns and to rows,

    Y = A^T [ (G g G^T) * (B^T d B) ] A

so that F(m x m, r x r) takes (m + r - 1)^2 multiplications a tile, instead of m^2 r^2.

The points decide the rounding errors: they should be few, near 1 in size, and symmetric. 0, 1, -1
serve F(2, 3). For six points 0, +-1/sqrt 2, +-sqrt 2 and infinity make a half to a third of the
errors of the usual 0, +-1, +-2.

The lanes are neighbouring tiles of a line that was laid out for them (`transform`), or images, or
channels, and then the numbers of a tile are as far apart as lines and columns are
(`transform_tile`). Beside each intrinsic stands the same function as plain Python: it says what the
intrinsic does, and takes its place under NUMBA_DISABLE_JIT=1.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..._compile.jit import DISABLED
from ..._vector.instructions import INT, LANES, Emitter, constant

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Filtering(NamedTuple):
    """F(m, r) and its matrices, n = m + r - 1."""

    m: int
    r: int
    a: F64  # (n, m)
    g: F64  # (n, r)
    bt: F64  # (n, n)


def filtering(m: int, r: int, points: list[float]) -> Filtering:
    """F(m, r) with these m + r - 2 points, and infinity."""
    n = m + r - 1
    a, g, bt = np.zeros((n, m)), np.zeros((n, r)), np.zeros((n, n))
    a[-1, -1] = g[-1, -1] = 1
    bt[-1] = np.poly(points)[::-1]
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        a[i] = point ** np.arange(m)
        g[i] = point ** np.arange(r) / np.prod([point - other for other in others])
        bt[i, :-1] = np.poly(others)[::-1]
    # What is 0, or equal, in the formula is so in numbers.
    return Filtering(m, r, a.round(12), g.round(12), bt.round(12))


ROOT = 2**0.5
SIX = [0, 1 / ROOT, -1 / ROOT, ROOT, -ROOT]
FILTERINGS = (filtering(2, 3, [0, 1, -1]), filtering(4, 3, SIX), filtering(2, 5, SIX))

# What is done with a tile X: M X M^T, with one of these as M.
INPUT, GRADIENT, FILTER, OUTPUT, FILTER_GRADIENT = range(5)


def matrix(which: int, kind: int) -> F64:
    """B^T, A, G, A^T or G^T of a filtering."""
    f = FILTERINGS[which]
    return (f.bt, f.a, f.g, f.a.T, f.g.T)[kind]


def phases(which: int, kind: int) -> int:
    """Of the values of a line of X, how many lie apart: the others follow one further."""
    return FILTERINGS[which].m if kind == INPUT else matrix(which, kind).shape[1]


# ---- the functions, in plain Python


def _transform(
    kind: int, which: int, x: F32, x0: int, line: int, phase: int, y: F32, y0: int, step: int
) -> None:
    """Y = M X M^T for LANES tiles, of which `kind` and `which` name the matrix M.

    Value (i, j) of tile t is x[x0 + i * line + j % p * phase + j // p + t], p = phases(...);
    number k of its Y, in the order of rows, goes to y[y0 + k * step + t].
    """
    m = matrix(which, kind).astype(np.float32)
    size, p = m.shape[1], phases(which, kind)
    for t in range(LANES):
        i, j = np.ogrid[:size, :size]
        found = m @ x[x0 + t + i * line + j % p * phase + j // p] @ m.T
        y[y0 + t : y0 + t + found.size * step : step] = found.reshape(-1)


def _transform_tile(
    kind: int, which: int, x: F32, x0: int, line: int, column: int, term: np.float32,
    y: F32, y0: int, y_line: int, y_column: int,
) -> None:  # fmt: skip
    """Y = M X M^T + term for LANES tiles, of images or channels, whose values lie anywhere.

    Value (i, j) of tile t of X is x[x0 + i * line + j * column + t], that of Y
    y[y0 + i * y_line + j * y_column + t].
    """
    m = matrix(which, kind).astype(np.float32)
    i, j = np.ogrid[: m.shape[1], : m.shape[1]]
    k, p = np.ogrid[: m.shape[0], : m.shape[0]]
    for t in range(LANES):
        found = m @ x[x0 + t + i * line + j * column] @ m.T
        y[y0 + t + k * y_line + p * y_column] = found + term


def _split_lanes(count: int, x: F32, x0: int, y: F32, y0: int, step: int) -> None:
    """Lay `count` phases (2 or 4) of count * LANES numbers apart: y[q * step + t] = x[count t + q].

    `_join_lanes` is the inverse.
    """
    for q in range(count):
        y[y0 + q * step : y0 + q * step + LANES] = x[x0 + q : x0 + q + count * LANES : count]


def _join_lanes(count: int, x: F32, x0: int, step: int, term: np.float32, y: F32, y0: int) -> None:
    """y[count t + q] = x[q * step + t] + term, for `count` phases (2 or 4) of LANES numbers."""
    for q in range(count):
        line = x[x0 + q * step : x0 + q * step + LANES] + term
        y[y0 + q : y0 + q + count * LANES : count] = line


# ---- the same, as LLVM instructions


def weighed_sum(e: Emitter, factors: list[float], vectors: list[Any]) -> Any:
    """Sum of factor * vector, without those whose factor is 0; None for an empty sum."""
    terms = [(f, v) for f, v in zip(factors, vectors, strict=True) if f != 0]
    terms.sort(key=lambda term: (term[0] != 1, term[0] == -1))
    total = None
    for factor, vector in terms:
        if total is None:
            total = vector if factor == 1 else e.builder.fmul(constant(factor), vector)
        elif factor == 1:
            total = e.builder.fadd(total, vector)
        elif factor == -1:
            total = e.builder.fsub(total, vector)
        else:
            total = e.multiply_add(constant(factor), vector, total)
    return total


def apply(e: Emitter, m: F64, x: list[Any]) -> list[Any]:
    """The vectors of M x, for a list of vectors x.

    Points p and -p make pairs of columns, or of rows, that differ in signs only. The work for a
    pair is shared: what has equal signs in both, and what has opposite ones, is summed once.
    """
    for i, j in _pairs(m.T):
        same, other = m.copy(), list(x)
        equal = m[:, i] == m[:, j]
        same[:, i], same[:, j] = np.where(equal, m[:, i], 0), np.where(equal, 0, m[:, i])
        other[i], other[j] = e.builder.fadd(x[i], x[j]), e.builder.fsub(x[i], x[j])
        m, x = same, other
    y: list[Any] = [None] * len(m)
    for i, j in _pairs(m):
        equal = m[i] == m[j]
        even = weighed_sum(e, list(np.where(equal, m[i], 0)), x)
        odd = weighed_sum(e, list(np.where(equal, 0, m[i])), x)
        y[i], y[j] = e.builder.fadd(even, odd), e.builder.fsub(even, odd)
    return [
        weighed_sum(e, list(row), x) if found is None else found
        for row, found in zip(m, y, strict=True)
    ]


def _pairs(m: F64) -> list[tuple[int, int]]:
    """Rows of equal sizes, of whose numbers some, and not all, have opposite signs."""
    found: list[tuple[int, int]] = []
    for i in range(len(m) - 1):
        equal = m[i] == m[i + 1]
        shared = np.allclose(np.abs(m[i]), np.abs(m[i + 1])) and (m[i] != 0).sum() > 1
        if shared and equal[m[i] != 0].any() and not equal.all():
            found.append((i, i + 1))
    return found


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _transform_intrinsic(
    typing: Any, kind: Any, which: Any, x: Any, x0: Any, line: Any, phase: Any,
    y: Any, y0: Any, step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, which, x, x0, line, phase, y, y0, step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read = e.at(e.data(kinds[2], x), x0)
        write = e.at(e.data(kinds[6], y), y0)
        for number in range(len(FILTERINGS)):
            with builder.if_then(builder.icmp_signed("==", which, INT(number))):
                m, p = matrix(number, kind.literal_value), phases(number, kind.literal_value)
                size = m.shape[1]
                lines = [builder.mul(line, INT(i)) for i in range(size)]
                columns = []
                for j in range(size):
                    column = e.at(read, builder.mul(phase, INT(j % p)), j // p)
                    columns.append(apply(e, m, [e.load(e.at(column, at)) for at in lines]))
                rows = [apply(e, m, list(row)) for row in zip(*columns, strict=True)]
                for k, vector in enumerate(vector for row in rows for vector in row):
                    e.store(vector, e.at(write, builder.mul(step, INT(k))))
        return context.get_dummy_value()

    n = types.int64
    return types.void(kind, n, x, n, n, n, y, n, n), emit


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _tile_intrinsic(
    typing: Any, kind: Any, which: Any, x: Any, x0: Any, line: Any, column: Any, term: Any,
    y: Any, y0: Any, y_line: Any, y_column: Any,
) -> Any:  # fmt: skip
    """As many arguments as `_transform_tile`: it is instructions, not a call."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, which, x, x0, line, column, term, y, y0, y_line, y_column = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[2], x), x0), e.at(e.data(kinds[7], y), y0)
        terms = e.spread(term)
        for number in range(len(FILTERINGS)):
            with builder.if_then(builder.icmp_signed("==", which, INT(number))):
                m = matrix(number, kind.literal_value)
                lines = [builder.mul(line, INT(i)) for i in range(m.shape[1])]
                columns = []
                for j in range(m.shape[1]):
                    seen = e.at(read, builder.mul(column, INT(j)))
                    columns.append(apply(e, m, [e.load(e.at(seen, at)) for at in lines]))
                for i, row in enumerate(zip(*columns, strict=True)):
                    to_line = e.at(write, builder.mul(y_line, INT(i)))
                    for j, vector in enumerate(apply(e, m, list(row))):
                        to = e.at(to_line, builder.mul(y_column, INT(j)))
                        e.store(builder.fadd(vector, terms), to)
        return context.get_dummy_value()

    n = types.int64
    return types.void(kind, n, x, n, n, n, types.float32, y, n, n, n), emit


EVEN, ODD = list(range(0, 2 * LANES, 2)), list(range(1, 2 * LANES, 2))
LOW = [half * LANES + lane for lane in range(LANES // 2) for half in (0, 1)]
HIGH = [lane + LANES // 2 for lane in LOW]


def split(e: Emitter, x: list[Any]) -> list[Any]:
    """The phases of len(x) * LANES numbers."""
    if len(x) == 1:
        return x
    pairs = list(zip(x[::2], x[1::2], strict=True))
    even = split(e, [e.shuffle(a, b, EVEN) for a, b in pairs])
    odd = split(e, [e.shuffle(a, b, ODD) for a, b in pairs])
    return [phase for both in zip(even, odd, strict=True) for phase in both]


def join(e: Emitter, x: list[Any]) -> list[Any]:
    """The numbers of which these are the phases."""
    if len(x) == 1:
        return x
    pairs = zip(join(e, x[::2]), join(e, x[1::2]), strict=True)
    return [e.shuffle(a, b, lanes) for a, b in pairs for lanes in (LOW, HIGH)]


@intrinsic  # type: ignore[untyped-decorator]
def _split_intrinsic(typing: Any, count: Any, x: Any, x0: Any, y: Any, y0: Any, step: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, x, x0, y, y0, step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[1], x), x0), e.at(e.data(kinds[3], y), y0)
        for number in (2, 4):
            with builder.if_then(builder.icmp_signed("==", count, INT(number))):
                found = split(e, [e.load(e.at(read, v * LANES)) for v in range(number)])
                for q, vector in enumerate(found):
                    e.store(vector, e.at(write, builder.mul(step, INT(q))))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, x, n, y, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _join_intrinsic(
    typing: Any, count: Any, x: Any, x0: Any, step: Any, term: Any, y: Any, y0: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, x, x0, step, term, y, y0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[1], x), x0), e.at(e.data(kinds[5], y), y0)
        terms = e.spread(term)
        for number in (2, 4):
            with builder.if_then(builder.icmp_signed("==", count, INT(number))):
                lines = [e.load(e.at(read, builder.mul(step, INT(q)))) for q in range(number)]
                found = join(e, [builder.fadd(vector, terms) for vector in lines])
                for v, vector in enumerate(found):
                    e.store(vector, e.at(write, v * LANES))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, x, n, n, types.float32, y, n), emit


transform: Any = _transform if DISABLED else _transform_intrinsic
transform_tile: Any = _transform_tile if DISABLED else _tile_intrinsic
split_lanes: Any = _split_lanes if DISABLED else _split_intrinsic
join_lanes: Any = _join_lanes if DISABLED else _join_intrinsic
