"""Times of layers beside what the machine can do: the roofline of Williams et al. (2009).

A layer of F operations and B bytes takes at least F / (peak FLOP/s) and at least B / (peak bytes a
second). The larger of the two, by the time that it took, is its share of the peak. It may exceed
100 % where the values did not have to come from memory, but lay in a cache. The peak of arithmetic
is here what the device's own product of matrices (gemm) reaches, not what its units could do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..device import load_kernel, place
from ..errors import DeviceError
from ..machine.bandwidth import bandwidth
from ..machine.threads import num_threads
from .cost import Cost, layer_cost
from .net import Net

SIDE = 768  # of the matrices of the product
COPIED = 64 << 20  # bytes, more than caches hold
LEAST_SECONDS = 0.2  # of the product's measurement

COLUMNS = (
    "layer", "type", "forward ms", "backward ms", "GFLOP/s", "GB/s", "of peak", "bound by"
)  # fmt: skip


@dataclass(frozen=True)
class Peak:
    """What a device reaches: operations a second in gemm, bytes a second in copies."""

    gemm: float
    bandwidth: float

    def seconds(self, flops: float, moved: float) -> tuple[float, str]:
        """The least time for so many operations and bytes, and which of them takes it."""
        arithmetic, memory = flops / self.gemm, moved / self.bandwidth
        return max((arithmetic, "arithmetic"), (memory, "memory"))


def measure_peak(device: str) -> Peak:
    """The peak of a device in main memory, in the best of several runs (about half a second).

    Operations: the device's own product of two 768 x 768 matrices. Bytes: read and written by
    copies of 64 MiB in all, on as many threads as kernels run on. Raises DeviceError for a card.
    """
    if place(device) != "host":
        raise DeviceError(f"the peak of '{device}' cannot be measured: it is not in main memory")
    a, b = np.ones((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)
    product = np.empty_like(a)
    gemm = load_kernel("gemm", device).gemm
    operations = 2 * SIDE**3 / _best(lambda: gemm(a, b, product))
    threads = num_threads()
    return Peak(operations, bandwidth(COPIED // threads, threads))


def _best(run: Callable[[], object]) -> float:
    """The shortest time of a call in seconds, after a first one that does not count."""
    run()
    best, total = np.inf, 0.0
    while total < LEAST_SECONDS:
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        best, total = min(best, took), total + took
    return float(best)


def table(
    net: Net, forward_ms: Sequence[float], backward_ms: Sequence[float], peak: Peak
) -> list[tuple[str, ...]]:
    """The rows of a table: `COLUMNS`, a row a layer, and the sum.

    Rates are those of forward and backward together.
    """
    costs = [layer_cost(net, index) for index in range(len(net.nodes))]
    rows: list[tuple[str, ...]] = [COLUMNS]
    for node, cost, *times in zip(net.nodes, costs, forward_ms, backward_ms, strict=True):
        rows.append((node.name, node.param.type, *_cells(cost, times[0], times[1], peak)))
    everything = Cost(*(sum(each) for each in zip(*map(_numbers, costs), strict=True)))
    # The least time of the sum is that of its layers, one after the other.
    least = sum(peak.seconds(*_work(cost))[0] for cost in costs)
    cells = _cells(everything, sum(forward_ms), sum(backward_ms), peak)
    took = (sum(forward_ms) + sum(backward_ms)) / 1000
    rows.append(("sum", "", *cells[:4], f"{least / took:.0%}" if took else "-", ""))
    return rows


def _numbers(cost: Cost) -> tuple[int, ...]:
    return tuple(vars(cost).values())


def _work(cost: Cost) -> tuple[int, int]:
    """Operations and bytes of both passes."""
    return cost.forward_flops + cost.backward_flops, cost.forward_bytes + cost.backward_bytes


def _cells(cost: Cost, forward_ms: float, backward_ms: float, peak: Peak) -> tuple[str, ...]:
    flops, moved = _work(cost)
    seconds = (forward_ms + backward_ms) / 1000
    times = f"{forward_ms:.3f}", f"{backward_ms:.3f}"
    if seconds == 0 or flops == moved == 0:
        return (*times, "-", "-", "-", "")
    least, bound = peak.seconds(flops, moved)
    rates = f"{flops / seconds / 1e9:.2f}", f"{moved / seconds / 1e9:.2f}"
    return (*times, *rates, f"{least / seconds:.0%}", bound)
