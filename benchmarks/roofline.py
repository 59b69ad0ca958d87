"""The roofline: what arithmetic and memory of this machine allow, and where the layers stand.

A layer that makes F operations on B bytes takes at least max(F / peak, B / bandwidth) seconds
(Williams, Waterman and Patterson, 2009). Both limits are measured here: the peak by a loop of
independent fused multiply-adds on vectors that stay in registers, the bandwidth by copying arrays
(a byte read and a byte written count as two), once larger than the caches and once in the
second-level cache.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from minicaffe.machine.bandwidth import bandwidth, fastest

from .machine import vectors
from .measure import Row

CHAINS = 12  # independent sums: two units with a latency of four cycles need eight
STEPS = 2_000_000
MEMORY, CACHE = 64 << 20, 128 << 10  # bytes of an array that is copied


@dataclass(frozen=True)
class Roof:
    """The limits of some threads together: operations and bytes a second."""

    threads: int
    peak: float
    memory: float
    cache: float

    def seconds(self, row: Row) -> float:
        """The least time of a case whose data are in memory."""
        return max(row.flops / self.peak, row.bytes / self.memory)


def measure(threads: int) -> Roof:
    """Measure the limits: the best of some attempts."""
    cache = bandwidth(CACHE, threads, MEMORY // CACHE)
    return Roof(threads, peak(threads), bandwidth(MEMORY, threads), cache)


def peak(threads: int) -> float:
    """Floating point operations a second."""
    multiply_add, operations = multiply_adder()
    seconds = fastest([lambda: multiply_add(STEPS)] * threads)
    return threads * STEPS * operations / seconds


def multiply_adder() -> tuple[Callable[[int], float], int]:
    """A compiled loop of multiply-adds, and the operations of one of its steps."""
    lanes = {"AVX-512": 16, "AVX2": 8, "AVX": 8}.get(vectors(), 4)
    kind = f"<{lanes} x float>"
    chains = range(CHAINS)
    heads = "\n".join(f"%a{i} = phi {kind} [ %start, %entry ], [ %b{i}, %loop ]" for i in chains)
    adds = "\n".join(
        f"%b{i} = call {kind} @llvm.fma.v{lanes}f32({kind} %a{i}, {kind} %x, {kind} %y)"
        for i in chains
    )
    sums = "\n".join(f"%s{i + 1} = fadd {kind} %s{i}, %b{i}" for i in chains)
    source = f"""
        declare {kind} @llvm.fma.v{lanes}f32({kind}, {kind}, {kind})
        define float @run(i64 %steps, float %p, float %q) {{
        entry:
          %x0 = insertelement {kind} undef, float %p, i32 0
          %x = shufflevector {kind} %x0, {kind} undef, <{lanes} x i32> zeroinitializer
          %y0 = insertelement {kind} undef, float %q, i32 0
          %y = shufflevector {kind} %y0, {kind} undef, <{lanes} x i32> zeroinitializer
          %start = fadd {kind} %y, %x
          br label %loop
        loop:
          %step = phi i64 [ 0, %entry ], [ %next, %loop ]
          {heads}
          {adds}
          %next = add i64 %step, 1
          %more = icmp ult i64 %next, %steps
          br i1 %more, label %loop, label %done
        done:
          %s0 = fadd {kind} %x, %y
          {sums}
          %result = extractelement {kind} %s{CHAINS}, i32 0
          ret float %result
        }}"""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(source), target)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float, ctypes.c_float)
    run = signature(engine.get_function_address("run"))

    def multiply_add(steps: int, engine: Any = engine) -> float:  # the engine owns the code
        return float(run(steps, 0.5, 1.0))

    return multiply_add, 2 * lanes * CHAINS


def plot(rows: Sequence[Row], roofs: Sequence[Roof], path: Path) -> None:
    """A picture for each number of threads, side by side: operations a second over intensity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    width = 7.5 * len(roofs)
    figure, axes = pyplot.subplots(1, len(roofs), figsize=(width, 6), squeeze=False, sharey=True)
    for axis, roof in zip(axes[0], roofs, strict=True):
        _draw_rows(axis, [row for row in rows if row.threads == roof.threads])
        _draw_roof(axis, roof)
        axis.set_title(f"{roof.threads} thread{'s' if roof.threads > 1 else ''}")
        axis.set_xlabel("operations a byte")
        axis.grid(True, which="both", alpha=0.2)
    axes[0][0].set_ylabel("GFLOP/s")
    figure.tight_layout()
    for axis, roof in zip(axes[0], roofs, strict=True):
        _name_limits(axis, roof)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


MARKS = {
    "convolution": "o", "inner_product": "s", "layers": "^", "update": "D", "nets": "*",
    "one_image": "P",
}  # fmt: skip


WORKS = {
    "forward": "tab:blue", "backward": "tab:orange", "update": "tab:red", "train": "tab:green",
    "forward-backward": "tab:olive",
}  # fmt: skip
LEAST, MOST = 0.01, 3000.0  # operations a byte


def _draw_roof(axis: Any, roof: Roof) -> None:
    intensity = np.geomspace(LEAST, MOST, 500)
    for speed, style in ((roof.memory, "-"), (roof.cache, ":")):
        attainable = np.minimum(roof.peak, intensity * speed) / 1e9
        axis.loglog(intensity, attainable, style, color="black", linewidth=1.2)
    axis.set_xlim(LEAST, MOST)


def _name_limits(axis: Any, roof: Roof) -> None:
    """Write along the lines what they are; their slope is known when all else is drawn."""
    above = {"rotation_mode": "anchor", "textcoords": "offset points", "fontsize": 8}
    for speed, name in ((roof.memory, "memory"), (roof.cache, "L2 cache")):
        y = LEAST * speed / 1e9
        (x0, y0), (x1, y1) = axis.transData.transform([(LEAST, y), (10 * LEAST, 10 * y)])
        angle = np.degrees(np.arctan2(y1 - y0, x1 - x0))
        words = f"{name}, {speed / 1e9:.0f} GB/s"
        axis.annotate(words, (1.3 * LEAST, 1.3 * y), xytext=(-2, 4), rotation=angle, **above)
    words = f"peak, {roof.peak / 1e9:.0f} GFLOP/s"
    axis.annotate(words, (MOST, roof.peak / 1e9), xytext=(-4, 4), ha="right", **above)


def _draw_rows(axis: Any, rows: Sequence[Row]) -> None:
    for row in rows:
        seconds = row.seconds("minicaffe")
        if seconds and row.flops and row.bytes:
            axis.plot(
                row.flops / row.bytes, row.flops / seconds / 1e9,
                MARKS[row.case.table], color=WORKS[row.case.work],
                markersize=5, alpha=0.8,
            )  # fmt: skip
    tables = dict.fromkeys(row.case.table for row in rows)
    works = dict.fromkeys(row.case.work for row in rows)
    for table in tables:
        axis.plot([], [], MARKS[table], color="grey", label=table)
    for work in works:
        axis.plot([], [], "o", color=WORKS[work], label=work)
    if rows:
        axis.legend(loc="lower right", fontsize=8)
