"""Matrix product in tiles of shared memory.

A block of 16 x 16 threads makes a tile of 64 x 64 of C, each thread 4 x 4 of it in registers. Along
K the block goes in steps of 16: its threads load a tile of op(A) and one of op(B) together, then
each reads 8 numbers for 16 multiplications. So a number of A and of B comes from memory once for 64
of C, and from shared memory once for 4.
"""

from functools import cache

from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, blockIdx, local, shared, syncthreads, threadIdx

SIDE = 64  # of a block's tile of C
STEP = 16  # along K, and threads along each side of a block
EACH = SIDE // STEP  # of C, along each side, for a thread
PITCH = SIDE + 1  # so that columns of a tile lie in different banks


def gemm(
    a: DeviceArray,
    b: DeviceArray,
    c: DeviceArray,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """C = alpha op(A) op(B) + beta C, where op transposes if asked; op(A) (M, K), op(B) (K, N).

    As in BLAS, C is not read when beta is 0, and A and B are not read when alpha is 0.
    """
    rows, columns = c.shape
    depth = a.shape[0 if trans_a else 1] if alpha != 0 else 0
    grid = -(-columns // SIDE), -(-rows // SIDE)
    product = _gemm(bool(trans_a), bool(trans_b), beta != 0)
    product[grid, (STEP, STEP)](a, b, c, depth, float(alpha), float(beta))


@cache
def _gemm(trans_a: bool, trans_b: bool, reads_c: bool) -> Kernel:
    @kernel
    def gemm(a: F32, b: F32, c: F32, depth: int, alpha: float, beta: float) -> None:
        # rows, columns: of C; i, j: of the block's tile; r, s: of the thread's 4 x 4
        rows, columns = c.shape
        row, column = blockIdx.y * SIDE, blockIdx.x * SIDE
        x, y = threadIdx.x, threadIdx.y
        a_tile, b_tile = shared((STEP, PITCH)), shared((STEP, PITCH))
        total = local((EACH, EACH))
        for r in range(EACH):
            for s in range(EACH):
                total[r, s] = 0.0
        for k in range(0, depth, STEP):
            for step in range(EACH):
                # neighbouring threads read neighbouring numbers, whichever way A and B lie
                i, p = (step * STEP + x, y) if trans_a else (step * STEP + y, x)
                inside = row + i < rows and k + p < depth
                if trans_a:
                    a_tile[p, i] = a[k + p, row + i] if inside else 0.0
                else:
                    a_tile[p, i] = a[row + i, k + p] if inside else 0.0
                j, q = (step * STEP + y, x) if trans_b else (step * STEP + x, y)
                inside = column + j < columns and k + q < depth
                if trans_b:
                    b_tile[q, j] = b[column + j, k + q] if inside else 0.0
                else:
                    b_tile[q, j] = b[k + q, column + j] if inside else 0.0
            syncthreads()
            for p in range(STEP):
                for r in range(EACH):
                    for s in range(EACH):
                        total[r, s] += a_tile[p, r * STEP + y] * b_tile[p, s * STEP + x]
            syncthreads()
        for r in range(EACH):
            for s in range(EACH):
                i, j = row + r * STEP + y, column + s * STEP + x
                if i < rows and j < columns:
                    value = alpha * total[r, s]
                    c[i, j] = value + beta * c[i, j] if reads_c else value

    return gemm
