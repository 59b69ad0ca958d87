"""The command line, the table and the picture."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe, load
from benchmarks.measure import Plan
from minicaffe.errors import Error
from minicaffe.machine.threads import num_threads

from . import convolution, product
from .steps import Row, Wrong, measure

PLAN = Plan(rounds=9, turn=0.02, budget=4.0)
COLUMNS = ("ms", "GFLOP/s", "of peak", "x before")


def main(arguments: Sequence[str] | None = None) -> int:
    """List the steps, or check, time and print them."""
    options = parse(arguments)
    threads = options.threads or num_threads()
    if options.convolution:
        shape = (options.images, *convolution.SHAPE[1:])
        case, tiny = convolution.problem(shape), convolution.problem(convolution.TINY)
        steps = convolution.steps(threads, case)
        title = "y = w * x, {} images, {} -> {} channels, {side} x {side}, {taps} x {taps}".format(
            *shape[:3], side=shape[3], taps=shape[4]
        )
    else:
        case, tiny = product.problem(options.size), product.problem(product.TINY)
        steps = product.steps(threads)
        title = f"C = A B, {options.size} x {options.size}"
    steps = [step for step in steps if re.search(options.only, step.name)]
    if options.list:
        print("\n\n".join(f"{step.name}\n\n{indented(step.text)}" for step in steps))
        return 0
    if not steps:
        print(f"no step's name has {options.only!r}: see --list", file=sys.stderr)
        return 2
    try:
        rows = measure(steps, case, tiny, PLAN)
    except (Wrong, Error) as error:
        print(error, file=sys.stderr)
        return 1
    print(machine(), "", f"{title}: {case.flops / 1e9:.3g} GFLOP", *table(rows), sep="\n")
    if options.plot:
        from .picture import plot

        plot(title, rows, options.plot)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m examples.kernels", description=__doc__)
    parser.add_argument("--convolution", action="store_true", help="of a layer, not of matrices")
    parser.add_argument(
        "--size",
        type=int,
        default=product.SIZE,
        help="rows and columns of the matrices (%(default)s)",
    )
    parser.add_argument(
        "--images", type=int, default=convolution.SHAPE[0], help="of the layer (%(default)s)"
    )
    parser.add_argument("--only", default="", metavar="REGEX", help="steps whose names match")
    parser.add_argument("--list", action="store_true", help="what each step changes, and its costs")
    parser.add_argument("--threads", type=int, help="of the step on all threads")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a picture of the speeds")
    options = parser.parse_args(arguments)
    for name, least in (("size", product.LEAST), ("images", 1), ("threads", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"--{name} {value}: it is {least} at least")
    return options


def machine() -> str:
    """The machine and the versions that the figures belong to."""
    about = describe()
    names = "processor", "cores", "vectors", "caches", "python", "numpy", "numba"
    lines = [f"{name}: {about[name]}" for name in names]
    return "\n".join([*lines, f"load: {load()}"])


def table(rows: Sequence[Row]) -> list[str]:
    """A line for each step, below a heading."""
    width = max(len(row.step.name) for row in rows) + 2
    lines = [f"{'':{width}}" + "".join(f"{name:>10}" for name in COLUMNS)]
    before = None
    for row in rows:
        cells = (
            f"{row.seconds * 1e3:.2f}", f"{row.speed / 1e9:.3g}", f"{row.speed / row.peak:.1%}",
            f"{before / row.seconds:.2f}" if before else "",
        )  # fmt: skip
        lines.append(f"{row.step.name:{width}}" + "".join(f"{cell:>10}" for cell in cells))
        before = row.seconds
    peaks = sorted({(row.step.threads, row.peak) for row in rows})
    lines += [
        f"peak, {count} thread{'s'[: count - 1]}: {peak / 1e9:.1f} GFLOP/s" for count, peak in peaks
    ]
    if any(row.step.tiny for row in rows):
        lines.append("loops in Python: timed on a tiny problem, scaled by the operations")
    return lines


def indented(text: str) -> str:
    """The text, four columns to the right."""
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
