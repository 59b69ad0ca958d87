"""Layer times: measured ones are files of tables/, a GPU's are published totals, shared out.

A table is a net at a batch: its layers with their parameters and arithmetic, and times of one
thread with the machine for itself. `work` makes of it what the model runs. The buckets are those
of the product: `plan_buckets` sees a stand-in of the net.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from minicaffe.distributed.sync.allreduce import BUCKET_BYTES, Bucket, plan_buckets
from minicaffe.net.net import Net

from .model import Work

FOLDER = Path(__file__).parent / "tables"
CPU = "cpu"


class Layer(NamedTuple):
    """Milliseconds, floating point operations, numbers of elements of the parameters."""

    name: str
    type: str
    forward_ms: float
    backward_ms: float
    parameters: list[int]
    forward_flops: float
    backward_flops: float


class Table(NamedTuple):
    """A net at a batch on a device."""

    net: str
    batch: int
    device: str
    layers: list[Layer]
    update_ms: float

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(sum(layer.parameters) for layer in self.layers)

    def buckets(self, least: int = BUCKET_BYTES) -> list[Bucket]:
        """The product's buckets of at least so many bytes, in the order in which they come due."""
        slices, nodes, start = [], [], 0
        for layer in self.layers:
            blobs = []
            for count in layer.parameters:
                slices.append(slice(start, start + count))
                blobs.append(SimpleNamespace(diff=SimpleNamespace(offset=start)))
                start += count
            nodes.append(SimpleNamespace(blobs=blobs))
        flat = SimpleNamespace(slices=slices, count=start)
        net = SimpleNamespace(device=CPU, flat_params=flat, nodes=nodes)
        return plan_buckets(cast(Net, net), least)

    def work(self, batch: float | None = None, least: int = BUCKET_BYTES) -> Work:
        """An iteration: at another batch forward and backward take in proportion."""
        due = {bucket.layer: 4.0 * (bucket.end - bucket.start) for bucket in self.buckets(least)}
        backward, since = [], 0.0
        for index in reversed(range(len(self.layers))):
            since += self.layers[index].backward_ms / 1e3
            if index in due:
                backward.append((since, due[index]))
                since = 0.0
        backward.append((since, 0.0))
        forward = sum(layer.forward_ms for layer in self.layers) / 1e3
        work = Work(forward, backward, self.update_ms / 1e3)
        return work if batch is None else work.scaled(batch / self.batch)


def nets() -> list[str]:
    """The nets that have a table."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "published")


def published() -> dict[str, Any]:
    """GPUs: by name, a source and by net the batch and the totals in milliseconds."""
    content: dict[str, Any] = json.loads((FOLDER / "published.json").read_text(encoding="utf-8"))
    return content


def load(net: str, device: str = CPU) -> Table:
    """A table. Raises ValueError with what there is."""
    if net not in nets():
        raise ValueError(f"no table of '{net}' (there are: {', '.join(nets())})")
    kept = json.loads((FOLDER / f"{net}.json").read_text(encoding="utf-8"))
    if device != CPU:
        return _of_published(net, device, kept)
    layers = [
        Layer(name, kind, forward, backward, counts, *flops)
        for (name, kind, counts, *flops), forward, backward in zip(
            kept["layers"], kept["forward_ms"], kept["backward_ms"], strict=True
        )
    ]
    return Table(net, kept["batch"], CPU, layers, kept["update_ms"])


def _of_published(net: str, device: str, kept: dict[str, Any]) -> Table:
    """The totals shared out among the layers by their arithmetic; the update is in none of them."""
    known = published()
    if device not in known:
        raise ValueError(f"no device '{device}' (there are: {', '.join([CPU, *known])})")
    if net not in known[device]["nets"]:
        there = ", ".join(known[device]["nets"])
        raise ValueError(f"nothing is published of {net} on {device} (there are: {there})")
    figures = known[device]["nets"][net]
    shares = [sum(column) for column in zip(*(row[3:5] for row in kept["layers"]), strict=True)]
    layers = [
        Layer(name, kind, figures["forward_ms"] * forward / shares[0],
              figures["backward_ms"] * backward / shares[1], counts, forward, backward)
        for name, kind, counts, forward, backward in kept["layers"]
    ]  # fmt: skip
    return Table(net, figures["batch"], device, layers, 0.0)
