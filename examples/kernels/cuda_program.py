"""The steps on a GPU: python -m examples.kernels.cuda_program --help

Each step is checked against NumPy, then counted in the emulator that checks every access: no GPU is
needed. Where there is one, `--time` times the steps on it.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import relative_error
from minicaffe.device import check_available, load_kernel
from minicaffe.errors import Error

from .steps import Wrong

if TYPE_CHECKING:
    from minicaffe.ptx.profile import Report

    from .cuda_product import CudaStep

SIZE = 128
COLUMNS = (
    "instructions", "shared reads", "bytes", "sectors", "ideal", "passes", "registers", "occupancy",
)  # fmt: skip
TURNS, CALLS = 9, 20  # of the step on a GPU; the median turn counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and count, or time, the steps; print a row for each."""
    parser = argparse.ArgumentParser(prog="python -m examples.kernels.cuda_program")
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns (%(default)s)")
    parser.add_argument("--only", default="", metavar="REGEX", help="steps whose names match")
    parser.add_argument("--card", default="A100", help="whose occupancy (%(default)s)")
    parser.add_argument("--list", action="store_true", help="what each step changes, and its costs")
    parser.add_argument("--time", action="store_true", help="on the GPU of this machine")
    options = parser.parse_args(arguments)
    if not options.time:
        os.environ["MINICAFFE_CUDA"] = "emulate"
    from . import cuda_product

    if options.size < cuda_product.LEAST or options.size % cuda_product.LEAST:
        parser.error(f"--size {options.size}: a multiple of {cuda_product.LEAST} is expected")
    steps = [step for step in cuda_product.STEPS if re.search(options.only, step.name)]
    if options.list:
        for step in steps:
            print(step.name, *(f"    {line}".rstrip() for line in step.text.splitlines()), sep="\n")
        return 0
    try:
        check_available("cuda")
        rows = time_all(steps, options.size) if options.time else count_all(steps, options)
        for row in rows:
            print(row, flush=True)
    except (Wrong, Error) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def count_all(steps: Sequence[CudaStep], options: argparse.Namespace) -> Iterator[str]:
    """A heading, and a row for each step, counted in the emulator. Raises Wrong, Error."""
    from minicaffe.ptx.checked import watching
    from minicaffe.ptx.profile import GPUS, Profiler, Report

    if options.card.lower() not in GPUS:
        names = ", ".join(gpu.name for gpu in GPUS.values())
        raise Error(f"--card {options.card}: one of {names} is expected")
    gpu = GPUS[options.card.lower()]
    yield line("", COLUMNS)
    for step in steps:
        profiler = Profiler()
        with watching(profiler.begin):
            check(step, options.size)
        (counters,) = profiler.counters
        yield line(step.name, cells(Report(counters, gpu), options.size**3))
    yield (
        "instructions of threads, their reads of shared memory, and bytes moved from and to memory,"
        " for a multiply-add; sectors of a warp's request, and at best; passes of shared memory;"
        f" occupancy of a {gpu.name}"
    )


def cells(report: Report, products: int) -> tuple[str, ...]:
    """For COLUMNS, with so many multiply-adds."""
    counters, occupancy, assembled = report.counters, report.occupancy, report.assembled
    sectors, ideal = report.sectors
    reads = report.instructions.get("shared load", 0.0) * counters.threads / products
    return (
        f"{counters.thread.sum() / products:.3f}",
        f"{reads:.3f}" if reads else "",
        f"{counters.moved / products:.2f}",
        f"{sectors:.2f}",
        f"{ideal:.2f}",
        f"{report.passes:.2f}" if counters.parts.any() else "",
        f"{assembled.registers}" if assembled else "?",
        f"{occupancy[1]:.0%}" if occupancy else "?",
    )


def time_all(steps: Sequence[CudaStep], size: int) -> Iterator[str]:
    """A heading, and a row for each step, timed on the GPU in turns. Raises Wrong, Error."""
    memory = load_kernel("memory", "cuda")
    running = [(step, check(step, size)) for step in steps]
    seconds: dict[str, list[float]] = {step.name: [] for step in steps}
    for _ in range(TURNS):
        for step, arrays in running:
            memory.synchronize("cuda")
            began = time.perf_counter()
            for _ in range(CALLS):
                step.run(*arrays)
            memory.synchronize("cuda")
            seconds[step.name].append((time.perf_counter() - began) / CALLS)
    yield line("", ("ms", "TFLOP/s", "x before"))
    before = 0.0
    for step in steps:
        took = statistics.median(seconds[step.name])
        faster = f"{before / took:.2f}" if before else ""
        yield line(step.name, (f"{1e3 * took:.3f}", f"{2e-12 * size**3 / took:.3g}", faster))
        before = took


def check(step: CudaStep, size: int) -> tuple[Any, Any, Any]:
    """Run a step once on random matrices; its arrays. Raises Wrong where the numbers are."""
    memory = load_kernel("memory", "cuda")
    random = np.random.default_rng(1)
    a, b = (random.standard_normal((size, size), np.float32) for _ in "AB")
    arrays = [memory.allocate(size * size, "cuda").reshape(size, size) for _ in "ABC"]
    for host, array in zip((a, b), arrays, strict=False):
        memory.upload(host, array)
    step.run(*arrays)
    found = np.empty_like(a)
    memory.download(arrays[2], found)
    error = relative_error(found, a.astype(np.float64) @ b)
    if not error <= step.bound:
        raise Wrong(f"{step.name}: wrong numbers, off by {error:.1e}")
    return arrays[0], arrays[1], arrays[2]


def line(name: str, row: Sequence[str]) -> str:
    """A line of the table."""
    return f"{name:26}" + "".join(f"{cell:>14}" for cell in row)


if __name__ == "__main__":
    sys.exit(main())
