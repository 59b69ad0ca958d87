"""Products with few tiles and much depth: the depth is cut into parts, which several blocks sum.

A part is a matrix of its own, in memory that is only used between two kernels; the second one adds
the parts up in their order. How many there are depends on the shapes alone, so that a product gives
the same bits in every run and on every GPU.
"""

from ._compile.jit import kernel
from ._compile.words import F32, grid
from ._tiles import BUSY

SHORTEST = 256  # what is left of a depth that is cut


def parts_for(tiles: int, depth: int) -> int:
    """Into how many parts the depth of a product is cut that has so many tiles."""
    return max(1, min(BUSY // max(1, tiles), depth // SHORTEST))


@kernel
def add_parts(parts: F32, count: int, c: F32, alpha: float, beta: float) -> None:
    """c = alpha times the sum of matrices that lie one behind the other, + beta c.

    c is not read when beta is 0.
    """
    i = grid()
    if i < c.size:
        total = 0.0
        for part in range(count):
            total += parts[part * c.size + i]
        total *= alpha
        c[i] = total if beta == 0 else total + beta * c[i]
