"""Tensor cores: products of small matrices whose elements lie in the registers of a warp."""

from collections.abc import Callable

import numpy as np

from ..instruction import Instruction
from .batch import Batch
from .lanes import WARP
from .operands import Operands, Read, Step, unknown
from .warp import as_rows, members

Place = tuple[np.ndarray, np.ndarray]
LANE = np.arange(WARP)


def multiply_matrices(operands: Operands, instruction: Instruction) -> Step:
    """mma.sync of tf32: D (16, 8) = A (16, k) @ B (k, 8) + C, k = 4 or 8, a warp together.

    Products are exact, and added in float64 in the order of k to C; the sum is rounded once. A GPU
    may add in another order, with less than float64 has.
    """
    k = {"m16n8k4": 4, "m16n8k8": 8}.get(next(iter(set(instruction.modifiers) & _SHAPES), ""), 0)
    if not k or instruction.modifiers.count("tf32") != 2:
        raise unknown(operands.kernel, instruction)
    result, a, b, c = (operands.items(each) for each in instruction.operands)
    read_a, read_b, read_c = (
        [operands.read(each, kind) for each in items]
        for items, kind in ((a, "b32"), (b, "b32"), (c, "f32"))
    )
    writes = [operands.write(each, "f32", instruction) for each in result]
    group, quad = LANE // 4, LANE % 4
    # The places of each register's 32 values in the matrices: PTX ISA 9.7.14.5.
    places_a = [(group + 8 * (i & 1), quad + 4 * (i >> 1)) for i in range(len(a))]
    places_b = [(quad + 4 * i, group) for i in range(len(b))]
    places_c = [(group + 8 * (i >> 1), 2 * quad + (i & 1)) for i in range(4)]

    def matrix(
        batch: Batch, reads: list[Read], places: list[Place], shape: tuple[int, int]
    ) -> np.ndarray:
        whole = np.zeros((batch.lanes // WARP, *shape))
        for read, place in zip(reads, places, strict=True):
            whole[:, place[0], place[1]] = _tf32(as_rows(batch, read(batch)))
        return whole

    def step(batch: Batch) -> None:
        members(batch, np.array([0xFFFFFFFF], np.uint32))
        left = matrix(batch, read_a, places_a, (16, k))
        right = matrix(batch, read_b, places_b, (k, 8))
        total = matrix(batch, read_c, places_c, (16, 8))
        for inner in range(k):
            total = total + left[:, :, inner, None] * right[:, None, inner, :]
        rounded = total.astype(np.float32)
        for write, (row, column) in zip(writes, places_c, strict=True):
            write(batch, np.ascontiguousarray(rounded[:, row, column]).reshape(-1))

    return step


_SHAPES = {"m16n8k4", "m16n8k8"}


def _tf32(bits: np.ndarray) -> np.ndarray:
    """Of an operand the tensor cores read the upper 19 bits; C is float32."""
    if bits.dtype == np.float32:
        return bits
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


BUILDERS: dict[str, Callable[[Operands, Instruction], Step]] = {"mma": multiply_matrices}
