"""The ziggurat of Boost's normal distribution, on an array of 32-bit draws at once, same bits.

Marsaglia and Tsang (2000) cover the density with layers of equal area. A draw names a layer (8 low
bits: layer and sign) and a fraction of its width; in 98.8 % of the cases the point lies under the
curve for certain. The others take a second draw (the layer's wedge) or several (the tail), so that
which draw begins a sample depends on all draws before it: here everything that one draw decides is
done for all of them at once, and a short loop walks over the rare others in order.

Boost 1.56 and later, 128 layers for the normal and 256 for the exponential that its tail uses;
float32 arithmetic with fused multiply-add, as an optimising compiler makes it.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
F = np.float32


def _table(
    edge: float, base: float, layers: int, f: Callable[[float], float], g: Callable[[float], float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Widths x and heights y = f(x) of the layers; `edge` is where the tail begins, g inverts f."""
    area = base * f(edge)
    x, y = [base, edge], [0.0, f(edge)]
    while len(x) < layers:
        y.append(y[-1] + area / x[-1])
        x.append(g(y[-1]))
    return np.array([*x, 0.0]), np.array([*y, 1.0])


NORMAL_X, NORMAL_Y = _table(
    3.4426198558966521, 3.7130862467403633, 128,
    lambda x: math.exp(-x * x / 2), lambda y: math.sqrt(-2 * math.log(y)),
)  # fmt: skip
EXPONENTIAL_X, EXPONENTIAL_Y = _table(
    7.6971174701310497, 8.6971174701310497, 256, lambda x: math.exp(-x), lambda y: -math.log(y)
)
TAIL = F(NORMAL_X[1])


Operand = FloatArray | np.float32


def fma(a: FloatArray, b: Operand, c: Operand) -> FloatArray:
    """a b + c, rounded once to float32."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def unit_normals(draws: NDArray[np.uint32], count: int) -> tuple[FloatArray, int] | None:
    """The first `count` samples from a stream of draws, and how many draws they take.

    None when the stream is too short.
    """
    layer = (draws & np.uint32(255)) >> np.uint32(1)
    sign = (draws & 1).astype(np.float32) * 2 - 1
    x = (draws >> 8).astype(np.float32) * F(2.0**-24) * NORMAL_X.astype(np.float32)[layer]
    starts = x < NORMAL_X[layer + 1]  # whether the draw gives a sample, by what is known so far
    slow = np.flatnonzero(~starts)
    slow = slow[slow + 1 < len(draws)]
    follow = draws[slow + 1].astype(np.float32) * F(2.0**-32)
    accepted = _under_curve(layer[slow], x[slow], follow)
    special = (layer[slow] == 0) | (follow >= 1)

    after: dict[int, int] = {}  # where the samples of slow draws end
    free = 0  # draws before this one are spent
    for at, good, odd in zip(slow.tolist(), accepted.tolist(), special.tolist(), strict=True):
        if at < free:
            continue
        free = at + 2
        if odd:
            sample = _odd_sample(draws, at, int(layer[at]), x[at])
            if sample is None:
                starts[at:] = False
                break
            good, value, free = sample
            x[at] = value
        starts[at] = good
        starts[at + 1 : free] = False
        after[at] = free

    found = np.flatnonzero(starts)[:count]
    if len(found) < count:
        return None
    last = int(found[-1]) if count else -1
    return x[found] * sign[found], after.get(last, last + 1)


def _under_curve(
    layer: NDArray[np.integer], x: FloatArray, follow: FloatArray
) -> NDArray[np.bool_]:
    """Whether points in the wedges of their layers lie under the curve; `follow` is in [0, 1)."""
    left, right = NORMAL_X[layer], NORMAL_X[layer + 1]
    low = NORMAL_Y[layer].astype(np.float32)
    y = fma(follow, (NORMAL_Y[layer + 1] - NORMAL_Y[layer]).astype(np.float32), low)
    gap = left.astype(np.float32) - x
    above_chord = fma(follow, (left - right).astype(np.float32), -gap)
    above_tangent = y - fma(gap * low, left.astype(np.float32), low)
    convex = left >= 1
    above_all = np.where(convex, above_chord, above_tangent) >= 0
    below_all = np.where(convex, above_tangent, above_chord) < 0
    density = np.exp(-(x * x / F(2)).astype(np.float64)).astype(np.float32)
    result: NDArray[np.bool_] = ~above_all & (below_all | (y < density))
    return result


def _odd_sample(
    draws: NDArray[np.uint32], at: int, layer: int, x: np.float32
) -> tuple[bool, np.float32, int] | None:
    """A draw that needs more than one other: (is it a sample, its value, where it ends).

    None when the stream is too short.
    """
    stream = _Stream(draws, at + 1)
    try:
        if layer == 0:
            return True, _tail(stream), stream.position
        follow = stream.unit()
        good = _under_curve(np.array([layer], np.uint32), np.array([x]), np.array([follow]))
        return bool(good[0]), x, stream.position
    except IndexError:
        return None


class _Stream:
    """Draws taken one at a time from an array."""

    def __init__(self, draws: NDArray[np.uint32], position: int) -> None:
        self.draws = draws
        self.position = position

    def draw(self) -> int:
        self.position += 1
        return int(self.draws[self.position - 1])

    def unit(self) -> np.float32:
        """A float32 in [0, 1); a draw that rounds up to 1 is replaced by the next."""
        while True:
            value = F(self.draw()) * F(2.0**-32)
            if value < 1:
                return value


def _tail(stream: _Stream) -> np.float32:
    """A normal sample beyond the last layer, by rejection from an exponential one."""
    while True:
        x = _exponential(stream) / TAIL
        y = _exponential(stream)
        if F(2) * y > x * x:
            return F(x + TAIL)


def _exponential(stream: _Stream) -> np.float32:
    shift = F(0)
    for layer, x in _exponential_points(stream):
        right = F(EXPONENTIAL_X[layer + 1])
        if x < right:
            break
        if layer == 0:  # the tail of an exponential is the exponential again
            shift += right
        elif _under_exponential(layer, x, stream.unit()):
            break
    return F(shift + x)


def _exponential_points(stream: _Stream) -> Iterator[tuple[int, np.float32]]:
    while True:
        draw = stream.draw()
        layer = draw & 255
        yield layer, F(draw >> 8) * F(2.0**-24) * F(EXPONENTIAL_X[layer])


def _under_exponential(layer: int, x: np.float32, follow: np.float32) -> bool:
    left, right = EXPONENTIAL_X[layer], EXPONENTIAL_X[layer + 1]
    low, high = EXPONENTIAL_Y[layer], EXPONENTIAL_Y[layer + 1]
    y = _fma(follow, F(high - low), F(low))
    if _fma(follow, F(left - right), -(F(left) - x)) >= 0:
        return False
    return bool(y < _fma(F(right) - x, F(high), F(high)) or y < F(math.exp(-float(x))))


def _fma(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    return F(float(a) * float(b) + float(c))
