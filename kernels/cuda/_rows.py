"""Rows added up by index, without atomics: every run adds in the same order, from the first on.

Positions that name the same row form a chain: a warp looks up, for each position, whether one comes
before it and which one after. Then the first of a chain has a thread for each column, which walks
along it. M indices cost M^2 comparisons at most, however long rows are; dy is read once.
"""

from typing import Any

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, I32, WARP, ballot, grid, threadIdx
from ._labels import NO_LABEL, class_of
from ._reduce import warp_max

END = -1  # nothing comes after
NOT_FIRST = -2  # something comes before
NOBODY = np.uint32(0)


def add_rows(index: DeviceArray, dy: DeviceArray, table: DeviceArray) -> None:
    """Add row i of dy (M, D) to the row of the table (N, D) that index i (M) names."""
    heads = memory.scratch(index, index.size, "int32")
    after = memory.scratch(index, index.size, "int32")
    _chains.over(index.size * WARP)(index, table.shape[0], heads, after)
    _add.over(dy.size)(index, heads, after, dy, table)


@kernel
def _chains(index: F32, rows: int, heads: I32, after: I32) -> None:
    """Write into `heads` the row of each position that is the first with its row, else NOT_FIRST;
    into `after` the next position with the same row, or END."""
    position, lane = grid() // WARP, threadIdx.x % WARP
    if position < index.size:
        row = class_of(index[position], rows, NO_LABEL)
        is_first = row >= 0
        if is_first:
            is_first = _next(index, rows, row, 0, position, lane) == END
        found = END
        if row >= 0:
            found = _next(index, rows, row, position + 1, index.size, lane)
        if lane == 0:
            heads[position] = row if is_first else NOT_FIRST
            after[position] = found


@inner
def _next(index: Any, rows: int, row: int, start: int, stop: int, lane: int) -> Any:
    """The first position from `start` on, before `stop`, that names the row, or END; for a warp."""
    for base in range(start, stop, WARP):
        i = base + lane
        same = i < stop
        if same:
            same = class_of(index[i], rows, NO_LABEL) == row
        if ballot(same) != NOBODY:
            return -warp_max(-i if same else -stop)
    return END


@kernel
def _add(index: F32, heads: I32, after: I32, dy: F32, table: F32) -> None:
    i = grid()
    length = table.shape[1]
    if i < dy.size:
        position, column = i // length, i % length
        row = heads[position]
        if row >= 0:
            total = table[row, column]
            while position >= 0:
                total += dy[position, column]
                position = after[position]
            table[row, column] = total
