"""What this machine needs: the roof of its processor, layers, messages between ranks, allreduces.

    python -m minicaffe.labs.clock            a few lines; some seconds

Ranks are threads of this process, joined by TCP on the loopback address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.two_paths import DOUBLING_BYTES
from minicaffe.net.net import Net
from minicaffe.net.roofline import measure_peak

from .ranks import run_ranks

TCP = "tcp://127.0.0.1:0"
SIZES = (4096, 1 << 20, 1 << 24)  # bytes of the allreduces
ROUNDS = 15


class Link(NamedTuple):
    """What a message costs: alpha seconds, and beta seconds for each byte."""

    alpha: float
    beta: float

    def seconds(self, messages: float, sent: float) -> float:
        """Of so many messages one after the other, with so many bytes in all."""
        return messages * self.alpha + sent * self.beta


def layer_seconds(net: Net) -> dict[str, float]:
    """Forward of each layer: the medians, layer by layer, when everything is compiled."""
    net.forward_pass()
    times: dict[str, list[float]] = {node.name: [] for node in net.nodes}
    for _ in range(ROUNDS):
        for index, node in enumerate(net.nodes):
            began = time.perf_counter()
            net.forward_pass(index, index)
            times[node.name].append(time.perf_counter() - began)
    return {name: median(found) for name, found in times.items()}


def between_two(sizes: Sequence[int] = SIZES) -> tuple[Link, list[float]]:
    """The link between two ranks, and the seconds of allreduces of so many bytes."""

    def work(ring: Communicator) -> tuple[Link, list[float]]:
        few, many = np.zeros(1, np.float32), np.zeros(1 << 22, np.float32)
        short, long = (_half(ring, array) for array in (few, many))
        link = Link(short, (long - short) / many.nbytes)
        arrays = [np.ones(size // 4, np.float32) for size in sizes]
        return link, [_seconds(ring, partial(ring.allreduce, each)) for each in arrays]

    found: tuple[Link, list[float]] = run_ranks(2, work, TCP, doubling_bytes=DOUBLING_BYTES)[0]
    return found


def _half(ring: Communicator, array: Any) -> float:
    """A message one way: half of there and back."""

    def there_and_back() -> None:
        for root in range(2):
            ring.broadcast(array, root)

    return _seconds(ring, there_and_back) / 2


def _seconds(ring: Communicator, call: Callable[[], object]) -> float:
    """The median time of a call that all ranks make, each time after a barrier."""
    times = []
    for _ in range(ROUNDS):
        ring.barrier()
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times[2:])


def main() -> None:
    """Print what was measured."""
    peak = measure_peak("cpu")
    print(f"peak of a product: {peak.gemm / 1e9:.1f} GFLOP/s; of copies: "
          f"{peak.bandwidth / 1e9:.1f} GB/s")  # fmt: skip
    link, seconds = between_two()
    print(f"a message between two ranks: alpha {link.alpha * 1e6:.1f} us, "
          f"beta {link.beta * 1e9:.3f} ns a byte ({1e-9 / link.beta:.2f} GB/s)")  # fmt: skip
    for size, took in zip(SIZES, seconds, strict=True):
        print(f"an allreduce of {size:,} bytes between two ranks: {took * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
