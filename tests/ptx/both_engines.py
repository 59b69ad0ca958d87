"""`launch` of the checked engine, after which the fast one must leave the same bits in memory."""

from typing import Any

import numpy as np

from minicaffe.ptx import Kernel, Memory, checked, fast
from minicaffe.ptx.fault import Index
from minicaffe.ptx.memory import Allocation

# The instructions that only the checked engine runs, by how they begin.
CHECKED_ONLY = (
    "add.rm.f64", "add.rp.f64", "add.rz.f64", "sub.rm.f64", "sub.rp.f64", "sub.rz.f64",
    "sqrt.rm", "sqrt.rp", "sqrt.rz", "div.rm", "div.rp", "div.rz", "rcp.rm", "rcp.rp", "rcp.rz",
    "cvt.rm.f", "cvt.rp.f", "cvt.rz.f", "slct.", "set.", "isspacep.", "prmt.b32.", "call", "bar",
    "mma.sync.aligned.m16n8k4",
)  # fmt: skip


def launch(
    kernel: Kernel,
    grid: Index,
    block: Index,
    shared: int,
    arguments: bytes,
    memory: Memory,
    **options: Any,
) -> None:
    """Run a kernel with both engines, and compare all of the memory byte by byte."""
    memory.load(kernel)
    places = [memory.find(int(begin)) for begin, _, _ in memory.table()]
    allocations = [each for each in places if each]
    before = [each.data.copy() for each in allocations]
    checked.launch(kernel, grid, block, shared, arguments, memory, **options)
    after = [(each.data.copy(), each.written) for each in allocations]
    try:
        code = fast.translate(kernel)
    except fast.Unknown as unknown:
        assert str(unknown).partition(": ")[2].startswith(CHECKED_ONLY), unknown
        return
    for each, held in zip(allocations, before, strict=True):
        each.data[:] = held
    fast.run(fast.Compiled(kernel, code), grid, block, shared, arguments, memory)
    for each, (theirs, written) in zip(allocations, after, strict=True):
        _compare(each, theirs)
        each.data[:], each.written = theirs, written


def _compare(allocation: Allocation, theirs: np.ndarray) -> None:
    """All bytes are equal, but for those of a float that is a NaN in both."""
    ours = allocation.data
    unequal = theirs != ours
    for dtype in (np.float32, np.float64):
        size = np.dtype(dtype).itemsize
        whole = theirs.size // size * size
        one, other = (each[:whole].view(dtype) for each in (theirs, ours))
        unequal[:whole] &= ~np.repeat(np.isnan(one) & np.isnan(other), size)
    assert not unequal.any(), f"bytes {np.flatnonzero(unequal)[:8]} of {allocation} differ"
