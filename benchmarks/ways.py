"""Every way of every product of convolutions, timed in turns: python -m benchmarks.ways

    python -m benchmarks.ways               a line for each product: all ways that fit, in ms
    python -m benchmarks.ways --only '3x3'  of the layers whose names match
    python -m benchmarks.ways --check       and what the choice loses against the best ways
    python -m benchmarks.ways --fit         first fit what the choice reads to these times
    python -m benchmarks.ways --kept --fit  the same; the last run's times need not be taken again

The layers are those of `benchmarks/layers.py`, of the nets, and some more. One thread; numbers are
checked before anything is timed; then the ways take turns, and a way's figure is the least of its
processor times. The times are kept in the folder `.benchmarks`, a file for each width of vectors
(`MINICAFFE_VECTORS` chooses it). `--fit` writes that width's part of
`kernels/cpu/convolution/figures.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minicaffe
from minicaffe.kernels.cpu import convolution
from minicaffe.kernels.cpu._vector.instructions import LANES
from minicaffe.kernels.cpu.convolution import choice, figures
from minicaffe.kernels.cpu.convolution.plan import DATA, FORWARD, PRODUCTS, WEIGHT, Plan, Way
from minicaffe.kernels.reference import convolution as reference

from .measure import BOUND, relative_error
from .ways_layers import Layer, layers

F32 = NDArray[np.float32]

CHECKOUT = Path(__file__).resolve().parent.parent
TURN = 0.002  # seconds at least
CLOSE = 1.05  # times as slow as the best: a difference that `--check` names
HOPELESS = 3.0  # times as slow as the best at the first calls: no turns
BUDGET, LEAST_TURNS = 0.5, 3  # seconds of all turns of a product; but so many turns of each way


@dataclass
class Timed:
    """A product of a layer, and the milliseconds of each way that fits."""

    layer: Layer
    product: int
    times: dict[Way, float]

    @property
    def best(self) -> Way:
        """The fastest."""
        return min(self.times, key=self.times.__getitem__)

    def loss(self) -> float:
        """How many times as long as the best way the chosen one takes."""
        return self.times[self.chosen()] / self.times[self.best]

    def chosen(self) -> Way:
        """What the choice takes."""
        return choice.decide(self.layer.plan.sizes, self.product, choice.LEVELS["fast"])

    def counted(self) -> Iterator[tuple[Way, str, choice.Counts]]:
        """What the ways are compared by."""
        return choice.counted(self.layer.plan.sizes, self.product, choice.LEVELS["fast"])

    def line(self) -> str:
        """A line of the table."""
        ways = sorted(self.times, key=self.times.__getitem__)
        times = "  ".join(f"{way} {self.times[way]:.3f}" for way in ways)
        name = f"{self.layer.name}, batch {self.layer.plan.x_shape[0]}"
        chosen = f"{self.chosen()!s:20} x{self.loss():.2f}"
        return f"{name:42} {PRODUCTS[self.product]:23} {chosen} | {times}"


# ---- times


def measure(layer: Layer, rounds: int) -> Iterator[Timed]:
    """The times of all ways of the three products; AssertionError for wrong numbers."""
    draw = np.random.default_rng(0)
    plan = layer.plan
    x = draw.standard_normal(plan.x_shape, np.float32)
    dy = draw.standard_normal(plan.y_shape, np.float32)
    filters = (plan.y_shape[1], plan.x_shape[1] // plan.groups, *plan.window[0])
    weight = draw.standard_normal(filters, np.float32)
    bias = draw.standard_normal(filters[0], np.float32)
    for product in (FORWARD, DATA, WEIGHT):
        like = (dy, x, weight)[product]
        expected = run(reference, reference_plan(plan), product, (x, dy, weight, bias), like)
        calls = {}
        for way in choice.ways(plan.sizes, product, choice.LEVELS["fast"]):
            taken = replace(plan, ways=tuple(
                way if each == product else own for each, own in enumerate(plan.ways)
            ))  # fmt: skip
            found = run(convolution, taken, product, (x, dy, weight, bias), like)
            error = relative_error(found, expected)
            assert error <= BOUND, f"{layer.name}, {PRODUCTS[product]}: {way} is off by {error:.1e}"
            calls[way] = call_of(convolution, taken, product, (x, dy, weight, bias), found)
        yield Timed(layer, product, in_turns(calls, rounds))


def reference_plan(plan: Plan) -> Any:
    """NumPy's plan of the same convolution."""
    return reference.plan(plan.x_shape, plan.y_shape, *plan.window, plan.groups)


def run(
    ops: Any, plan: Any, product: int, arrays: tuple[F32, F32, F32, F32], like: F32
) -> NDArray[np.float32]:
    """What a product gives."""
    result = np.zeros_like(like)
    call_of(ops, plan, product, arrays, result)()
    return result


def call_of(
    ops: Any, plan: Any, product: int, arrays: tuple[F32, F32, F32, F32], result: F32
) -> Callable[[], None]:
    """A call of a product, with scratch of its own."""
    x, dy, weight, bias = arrays
    scratch = np.zeros(ops.scratch_size(plan), np.float32)
    if product == FORWARD:
        return partial(ops.forward, plan, x, weight, bias, result, scratch)
    if product == DATA:
        return partial(ops.backward_data, plan, dy, weight, result, scratch)
    return partial(ops.backward_weight, plan, x, dy, result, scratch)


def in_turns(calls: dict[Way, Callable[[], None]], rounds: int) -> dict[Way, float]:
    """Milliseconds of processor time of each: the least, when nothing else took the core."""
    first = {way: min(seconds(call, 1) for _ in range(2)) for way, call in calls.items()}
    least = min(first.values())
    samples: dict[Way, list[float]] = {way: [took] for way, took in first.items()}
    going = [way for way, took in first.items() if took <= HOPELESS * least]
    for way in going:
        samples[way].clear()
    counts = {way: max(1, int(TURN / first[way])) for way in going}
    affordable = int(BUDGET / sum(counts[way] * first[way] for way in going))
    for number in range(min(rounds, max(affordable, LEAST_TURNS))):
        for way in going[:: 1 if number % 2 else -1]:
            samples[way].append(seconds(calls[way], counts[way]))
    return {way: 1e3 * min(each) for way, each in samples.items()}


def seconds(call: Callable[[], None], count: int) -> float:
    """Processor time of a call, on average over so many."""
    started = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - started) / count


# ---- the times of the last run


def keep(path: Path, timed: list[Timed]) -> None:
    """Write times for `--kept`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "layer": each.layer.name, "plan": each.layer.key,
            "product": each.product, "ms": [[*way, took] for way, took in each.times.items()],
        }
        for each in timed
    ]  # fmt: skip
    path.write_text(json.dumps(rows, indent=0), encoding="utf-8")


def kept(path: Path) -> list[Timed]:
    """The times of the last run."""
    timed = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        x, y, window, groups = row["plan"]
        plan = convolution.plan(tuple(x), tuple(y), *map(tuple, window), groups)
        times = {Way(file, which): took for file, which, took in row["ms"]}
        timed.append(Timed(Layer(row["layer"], plan), row["product"], times))
    return timed


# ---- what the choice makes of them


def report(timed: list[Timed]) -> str:
    """What the choice loses, of the sum of all times and at worst; a line for each width."""
    chosen = sum(each.times[each.chosen()] for each in timed)
    best = sum(each.times[each.best] for each in timed)
    wrong = sorted((each for each in timed if each.loss() > 1), key=Timed.loss)
    lines = [each.line() for each in wrong if each.loss() > CLOSE]
    worst = wrong[-1].loss() if wrong else 1.0
    lines.append(
        f"{LANES} lanes, {len(timed)} products: the choice takes {chosen:.1f} ms, the best ways"
        f" {best:.1f} ms: {100 * (chosen / best - 1):.1f} % lost; {len(wrong)} are not the best,"
        f" at worst {worst:.2f} times as long"
    )
    return "\n".join(lines)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ways",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="layers whose names match (a regex)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--kept", action="store_true", help="measure only what the last run did not"
    )
    parser.add_argument("--fit", action="store_true", help="write the figures of this width")
    parser.add_argument("--check", action="store_true", help="say what the choice loses")
    parser.add_argument(
        "--times", type=Path, default=CHECKOUT / ".benchmarks" / f"ways-{LANES}.json"
    )
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Measure, or take what was measured; print, fit, check."""
    options = arguments(words)
    minicaffe.set_num_threads(1)
    chosen = [layer for layer in layers() if re.search(options.only, layer.name)]
    if not chosen:
        print(f"no layer's name matches {options.only!r}", file=sys.stderr)
        return 1
    before = kept(options.times) if options.kept and options.times.is_file() else []
    timed = [each for each in before if any(each.layer.key == layer.key for layer in chosen)]
    done = {each.layer.key for each in timed}
    for layer in chosen:
        if layer.key not in done:
            for each in measure(layer, options.rounds):
                timed.append(each)
                print(each.line(), flush=True)
            keep(options.times, timed)
    if options.fit:
        from . import ways_fit

        figures.FIGURES[LANES].update(ways_fit.fit(timed, figures.FIGURES[LANES]))
        ways_fit.write(figures.FIGURES, Path(figures.__file__))
        print(f"written: {figures.__file__}")
    if options.check or options.fit:
        print(report(timed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
