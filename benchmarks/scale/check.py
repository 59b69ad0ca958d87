"""The model beside measured runs: what it is fitted to, and what it must give.

measured/*.json hold records of `benchmarks.interconnects` (test hosts) and of `measure` (loopback):
`sums`, allreduces alone; `nets`, layer times with all ranks at work; `runs`, trainings. A place's
link is fitted to two allreduces of the fewest ranks, the smallest and the largest. All other
allreduces and all trainings are then predicted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from minicaffe.distributed.ring import SEGMENT_BYTES
from minicaffe.distributed.sync.allreduce import BUCKET_BYTES

from .model import Work, simulate
from .network import Cluster, Link
from .tables import CPU, Layer, Table

FOLDER = Path(__file__).parent / "measured"
CORES = 2  # of the machine on which all of this was measured, test hosts too
LOOPBACK = "loopback"
MEMORY = 1e12  # bytes a second: no limit, the loopback's copies are processor time
LARGEST = 64 << 20  # bytes of an allreduce that is fitted to
OVERLAPS = {"after": False, "during": True}

Record = dict[str, Any]


class Row(NamedTuple):
    """A measured run, and what the model says of it, in milliseconds."""

    what: str
    ranks: int
    place: str
    way: str
    measured: float
    predicted: float
    fitted: bool = False

    @property
    def error(self) -> float:
        """Of the prediction, as a share of the measured time."""
        return self.predicted / self.measured - 1


def measured() -> dict[str, list[Record]]:
    """The records of all files, by kind: of the ring over TCP, where a link can be fitted."""
    found: dict[str, list[Record]] = {"sums": [], "nets": [], "runs": []}
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for kind, records in found.items():
            records += content[kind]
    found["sums"] = [each for each in found["sums"] if each["contender"] == "tcp"]
    places = {each["place"] for each in found["sums"]}
    found["runs"] = [each for each in found["runs"]
                     if each["way"] in OVERLAPS and each["place"] in places]  # fmt: skip
    return found


def used(place: str, sums: list[Record]) -> tuple[Record, Record]:
    """The allreduces that a place's link is fitted to: smallest and largest of the fewest ranks.

    Raises ValueError where there are no two.
    """
    there = [run for run in sums if run["place"] == place and run["bytes"] <= LARGEST]
    fewest = min((run["ranks"] for run in there), default=0)
    runs = sorted((run for run in there if run["ranks"] == fewest), key=lambda run: run["bytes"])
    if len(runs) < 2:
        raise ValueError(f"{place}: two allreduces of as many ranks are needed to fit a link")
    return runs[0], runs[-1]


def fitted(place: str, sums: list[Record]) -> Link:
    """The link of a place.

    The latency from the smallest allreduce. On the loopback the processor time of a byte from the
    wall time of the largest; on a limited link from its processor time, and the bandwidth from its
    wall time.
    # P ranks spend 2 S (P - 1) / P bytes at each of two ends: cpu = 4 S (P - 1) per_byte
    """
    small, large = used(place, sums)
    link = Link(place, 0.0, MEMORY)
    if place != LOOPBACK:
        per_byte = large["cpu_ms"] / 1e3 / (4 * large["bytes"] * (large["ranks"] - 1))
        link = link._replace(per_byte=per_byte)
    for _ in range(2):  # once more, since either depends a little on the other
        rate = partial(_with_rate, link)
        bounds = (1e-12, 1e-6) if place == LOOPBACK else (1e5, MEMORY)
        link = _bisect(rate, *bounds, large, place == LOOPBACK)
        link = _bisect(partial(_with_latency, link), 1e-9, 1.0, small, True)
    return link


def _with_rate(link: Link, value: float) -> Link:
    """Processor seconds a byte on the loopback, else bytes a second."""
    if link.name == LOOPBACK:
        return link._replace(per_byte=value)
    return link._replace(bandwidth=value)


def _with_latency(link: Link, value: float) -> Link:
    return link._replace(latency=value)


def _bisect(
    make: Callable[[float], Link], low: float, high: float, run: Record, rising: bool
) -> Link:
    """The link with which the model gives a run's time; x lies between two powers of ten."""
    for _ in range(40):
        middle = (low * high) ** 0.5
        if (alone(run, make(middle)) < run["ms"]) == rising:
            low = middle
        else:
            high = middle
    return make(high)


def alone(run: Record, link: Link) -> float:
    """Milliseconds of an allreduce alone, by the model."""
    hosts = 1 if run["place"] == LOOPBACK else run["ranks"]
    work = Work(0.0, [(0.0, float(run["bytes"]))], 0.0)
    return 1e3 * _simulate(work, run["ranks"], hosts, link, overlap=False, iterations=1)


def _simulate(
    work: Work,
    ranks: int,
    hosts: int,
    link: Link,
    *,
    overlap: bool,
    iterations: int = 3,
    local: Link | None = None,
) -> float:
    """Seconds of an iteration on hosts that share the machine's cores."""
    cluster = Cluster(ranks, link, ranks // hosts, local or link, CORES, hosts)
    return simulate(work, cluster, "product", overlap=overlap, iterations=iterations,
                    segment=SEGMENT_BYTES).seconds  # fmt: skip


def work_of(net: Record) -> Work:
    """What a rank computes, in processor time: with more ranks than cores each waits for its turn.

    What an iteration takes beside its layers and the update is added to the update.
    """
    layers = [
        Layer(each["name"], each["type"], 0.0, each["backward_ms"], [each["parameters"]], 0, 0)
        for each in net["layers"]
    ]
    layers[0] = layers[0]._replace(forward_ms=net["forward_ms"])
    table = Table(net["net"], net["batch"], CPU, layers, net["update_ms"])
    work = table.work(least=net.get("bucket_bytes", BUCKET_BYTES))
    rest = max(0.0, net["alone_ms"] / 1e3 - work.compute)
    share = min(1.0, CORES / net["ranks"])
    scaled = work.scaled(share)
    return scaled._replace(update=(work.update + rest) * share)


def rows() -> list[Row]:
    """Every measured allreduce and training beside the model's."""
    found, records = [], measured()
    places = dict.fromkeys(run["place"] for run in records["sums"])
    known = {place: fitted(place, records["sums"]) for place in places}
    pairs = [run for place in places for run in used(place, records["sums"])]
    for run in records["sums"]:
        said, what = alone(run, known[run["place"]]), f"allreduce, {run['bytes'] / 1e6:.3g} MB"
        found.append(Row(what, run["ranks"], run["place"], "", run["ms"], said, run in pairs))
    for run in records["runs"]:
        same = {key: run[key] for key in ("net", "batch", "hosts", "ranks")}
        net = next(net for net in records["nets"] if same.items() <= net.items())
        seconds = _simulate(work_of(net), run["ranks"], run["hosts"], known[run["place"]],
                            overlap=OVERLAPS[run["way"]], local=known.get(LOOPBACK))  # fmt: skip
        what = f"{run['net']}, batch {run['batch']}"
        found.append(Row(what, run["ranks"], run["place"], run["way"], run["ms"], 1e3 * seconds))
    return found


def report(found: Sequence[Row]) -> str:
    """A table of rows, and how far off they are."""
    lines = ["| run | ranks | place | gradients go | measured, ms | predicted, ms | error |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in found:
        error = "fitted" if row.fitted else f"{row.error:+.0%}"
        cells = (row.what, row.ranks, row.place, row.way, f"{row.measured:.3g}",
                 f"{row.predicted:.3g}", error)  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    errors = sorted(abs(row.error) for row in found if row.way)
    if errors:
        middle = errors[len(errors) // 2]
        lines.append(f"\nTrainings: median error {middle:.0%}, largest {errors[-1]:.0%}.")
    return "\n".join(lines)
