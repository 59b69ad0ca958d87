"""Winograd's transforms of LANES tiles whose numbers lie anywhere, of images or channels.

Y = M X M^T, with the matrices of winograd/transforms.py. There the lanes are neighbouring tiles of
a line that was laid out for them; here they are images, or channels, and the numbers of a tile are
as far apart as lines and columns are.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..._compile.jit import DISABLED
from ..._vector.instructions import INT, LANES, Emitter
from .transforms import FILTERINGS, apply, matrix

F32 = NDArray[np.float32]


def _transform_tile(
    kind: int, which: int, x: F32, x0: int, line: int, column: int, term: np.float32,
    y: F32, y0: int, y_line: int, y_column: int,
) -> None:  # fmt: skip
    """Y = M X M^T + term for LANES tiles, whose values (i, j) lie anywhere.

    Value (i, j) of tile t of X is x[x0 + i * line + j * column + t], that of Y
    y[y0 + i * y_line + j * y_column + t].
    """
    m = matrix(which, kind).astype(np.float32)
    i, j = np.ogrid[: m.shape[1], : m.shape[1]]
    k, p = np.ogrid[: m.shape[0], : m.shape[0]]
    for t in range(LANES):
        found = m @ x[x0 + t + i * line + j * column] @ m.T
        y[y0 + t + k * y_line + p * y_column] = found + term


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _tile_intrinsic(
    typing: Any, kind: Any, which: Any, x: Any, x0: Any, line: Any, column: Any, term: Any,
    y: Any, y0: Any, y_line: Any, y_column: Any,
) -> Any:  # fmt: skip
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
                    place = e.at(read, builder.mul(column, INT(j)))
                    columns.append(apply(e, m, [e.load(e.at(place, at)) for at in lines]))
                for i, row in enumerate(zip(*columns, strict=True)):
                    place = e.at(write, builder.mul(y_line, INT(i)))
                    for j, vector in enumerate(apply(e, m, list(row))):
                        to = e.at(place, builder.mul(y_column, INT(j)))
                        e.store(builder.fadd(vector, terms), to)
        return context.get_dummy_value()

    n = types.int64
    return types.void(kind, n, x, n, n, n, types.float32, y, n, n, n), emit


transform_tile: Any = _transform_tile if DISABLED else _tile_intrinsic
