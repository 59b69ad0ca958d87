"""Compare contenders on a case: numbers first, then times in interleaved rounds.

In each round every contender has a turn, in an order that is turned round each time, while the
others wait in their processes. So a machine that is slower for a while is so for all of them. A
turn is as many calls as fill a given time. The figure of a contender is the median over its turns:
of the processor time on one thread, which other processes disturb little, and of wall time on
several.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minicaffe.net.net import Net

from .cases import (
    BACKWARD,
    FORWARD,
    FORWARD_BACKWARD,
    TRAIN,
    UPDATE,
    Arrays,
    Case,
    Unsupported,
    arrays_of,
)
from .contender import Contender, Failed
from .peers import Sample, Work

PAUSE = 0.01  # seconds after a turn on several threads: those that spin for a while go to sleep
LEAST_TURNS = 3

BOUND = 1e-3
NET_BOUND = 2e-2
WHOLE_NETS = (FORWARD_BACKWARD, TRAIN)
LAYERS_WORTH = 20  # how many times what a change of their inputs by a millionth does


@dataclass(frozen=True)
class Plan:
    """How long to measure: rounds, the seconds of a turn, and those of all turns of a contender.

    A contender too slow for `budget` has its turn in some of the rounds only, spread evenly.
    """

    rounds: int = 15
    turn: float = 0.03
    budget: float = 10.0


@dataclass
class Result:
    """What a contender made of a case: samples, or a reason why there are none."""

    samples: list[Sample] = field(default_factory=list)
    note: str = ""
    error: float | None = None  # the greatest relative error of its numbers
    reason: str = ""
    wrong: bool = False  # the reason is a fault, not a limit

    def median(self, clock: str) -> float | None:
        """Seconds of a call by "cpu" or "wall"; None without samples or without that clock."""
        values = [getattr(sample, clock) for sample in self.samples]
        return None if not values or None in values else statistics.median(values)


@dataclass
class Row:
    """A case at a number of threads, and the result of every contender by its key."""

    case: Case
    threads: int
    flops: int
    bytes: int
    results: dict[str, Result]

    def clock(self, key: str) -> str:
        """By which clock a contender is compared."""
        cpu = self.threads == 1 and self.results[key].median("cpu") is not None
        return "cpu" if cpu else "wall"

    def seconds(self, key: str) -> float | None:
        """A contender's figure."""
        return self.results[key].median(self.clock(key))

    def ratio(self, key: str) -> float | None:
        """How many times longer a contender takes than minicaffe, both by the same clock."""
        clock = self.clock(key)
        ours, theirs = self.results["minicaffe"].median(clock), self.results[key].median(clock)
        return theirs / ours if ours and theirs else None


def compare(
    case: Case, contenders: Sequence[Contender], oracle: Contender, plan: Plan, threads: int
) -> Row:
    """Check every contender's numbers against the oracle's, then time those that are right."""
    arrays = arrays_of(case)
    results = {contender.key: Result() for contender in contenders}
    ready = []
    with tempfile.TemporaryDirectory(prefix="minicaffe-benchmark-") as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, allow_pickle=False, **arrays)
        checked = case.without_dropout() if case.drops else case
        oracle.prepare(checked, path)
        expected = oracle.results()
        bounds = usual_bounds(case, expected)
        if case.work in WHOLE_NETS:
            bounds = bounds_of_net(oracle, checked, arrays, Path(folder) / "moved.npz", expected)
            oracle.prepare(checked, path)
        if oracle.key not in results:
            oracle.drop()
        for contender in contenders:
            result = results[contender.key]
            try:
                result.note = contender.prepare(checked, path)
                check(result, contender, expected, bounds)
                if not result.reason:
                    if case.drops:
                        contender.prepare(case, path)
                    ready.append(contender)
            except Unsupported as error:
                result.reason = str(error)
            except Failed as error:
                result.reason, result.wrong = str(error), True
    time_all(ready, results, plan)
    for contender in ready:
        if case.table in ("nets", "one_image"):
            contender.close()  # its allocator may keep gigabytes, which the next net needs
        else:
            contender.drop()
    return Row(case, threads, *work_of(case), results)


def usual_bounds(case: Case, expected: Arrays) -> dict[str, float]:
    """The relative errors by the 2-norm that are allowed."""
    return dict.fromkeys(expected, NET_BOUND if case.work in WHOLE_NETS else BOUND)


def bounds_of_net(
    oracle: Contender, case: Case, arrays: Arrays, path: Path, expected: Arrays
) -> dict[str, float]:
    """The errors allowed to a net in training, whose rounding errors may grow from layer to layer.

    A tie of a pooling or a rectifier falls the other way, and the layers before it see another
    gradient. How far that goes is measured: by how much the oracle's own results change when its
    inputs do by a millionth, about what one layer's rounding does to them.
    """
    noise = np.random.default_rng(0)
    moved = {
        name: array * (1 + 1e-6 * noise.standard_normal(array.shape, np.float32))
        if name.startswith("input/") and array.dtype == np.float32
        else array
        for name, array in arrays.items()
    }
    np.savez(path, allow_pickle=False, **moved)
    oracle.prepare(case, path)
    found = oracle.results()
    usual = usual_bounds(case, expected)
    return {
        key: max(usual[key], LAYERS_WORTH * relative_error(found[key], expected[key]))
        for key in expected
    }


def check(
    result: Result, contender: Contender | Work, expected: Arrays, bounds: dict[str, float]
) -> None:
    """Compare a contender's numbers with what is expected: the relative error by the 2-norm."""
    found = contender.results()
    if not found:
        result.note = "numbers not checked"
        return
    missing = expected.keys() ^ found.keys()
    if missing:
        raise Failed(f"gives other results: {', '.join(sorted(missing))}")
    errors = {key: relative_error(found[key], expected[key]) for key in expected}
    worst = max(errors, key=lambda key: np.nan_to_num(errors[key] / bounds[key], nan=np.inf))
    result.error = errors[worst]
    if not result.error <= bounds[worst]:
        result.reason = f"wrong numbers: {worst} is off by {result.error:.1e}"
        result.wrong = True


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """The norm of the difference over that of what is expected; infinite for another shape."""
    if found.shape != expected.shape:
        return float("inf")
    norm = float(np.linalg.norm(expected.astype(np.float64)))
    difference = float(np.linalg.norm(found.astype(np.float64) - expected))
    return difference / norm if norm else difference


def time_all(ready: list[Contender], results: dict[str, Result], plan: Plan) -> None:
    """The interleaved rounds."""
    turns = {}
    for contender in list(ready):
        try:
            longest = max(plan.turn, contender.warm_up(plan.turn))
        except Failed as error:
            fail(contender, error, ready, results)
            continue
        affordable = max(LEAST_TURNS, int(plan.budget / longest))
        turns[contender.key] = min(plan.rounds, affordable)
    for number in range(plan.rounds):
        for contender in list(ready)[:: 1 if number % 2 else -1]:
            count = turns[contender.key]
            if number * count // plan.rounds == (number - 1) * count // plan.rounds:
                continue
            try:
                results[contender.key].samples.append(contender.turn())
            except Failed as error:
                fail(contender, error, ready, results)
            if contender.threads > 1:
                time.sleep(PAUSE)


def fail(
    contender: Contender, error: Failed, ready: list[Contender], results: dict[str, Result]
) -> None:
    """Leave a contender that broke down out of the rest of the case."""
    ready.remove(contender)
    results[contender.key] = Result(reason=str(error), wrong=True)


def work_of(case: Case) -> tuple[int, int]:
    """Operations and bytes of a call, as minicaffe.net.cost counts them; of an update: 6 passes."""
    from minicaffe.net.cost import layer_cost

    net = Net(case.param(), device="reference")
    costs = [layer_cost(net, index) for index in range(len(net.nodes))]
    count = net.flat_params.count
    update_flops, update_bytes = 6 * count, 6 * 4 * count  # read and write w, h and the gradient
    flops = bytes_moved = 0
    if case.work == UPDATE:
        return update_flops, update_bytes
    if case.work != BACKWARD:
        flops += sum(cost.forward_flops for cost in costs)
        bytes_moved += sum(cost.forward_bytes for cost in costs)
    if case.work != FORWARD:
        flops += sum(cost.backward_flops for cost in costs)
        bytes_moved += sum(cost.backward_bytes for cost in costs)
    if case.work == "train":
        flops, bytes_moved = flops + update_flops, bytes_moved + update_bytes
    return flops, bytes_moved
