"""The report as Markdown: a table a place and number of ranks, trainings, devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .contenders import GLOO, MPI
from .places import BITS, LOOPBACK, PLACES
from .sums import Record, ratio
from .training import ALONE

OTHERS = (GLOO, MPI)
LISTS = ("left_out", "sums", "nets", "runs", "devices", "load")


def together(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several runs on one machine as one; a later measurement of the same thing counts."""
    whole = dict(reports[0])
    for key in LISTS:
        whole[key] = [entry for report in reports for entry in report[key]]
    whole["load"] = [whole["load"][0], whole["load"][-1]]
    whole["left_out"] = list(dict.fromkeys(whole["left_out"]))
    whole["others"] = {name: text for one in reports for name, text in one["others"].items()}
    whole["sums"] = _newest(whole["sums"], ("place", "ranks", "bytes", "contender"))
    whole["nets"] = _newest(whole["nets"], ("net", "hosts", "ranks"))
    whole["runs"] = _newest(whole["runs"], ("net", "hosts", "ranks", "place", "way"))
    whole["devices"] = _newest(whole["devices"], ("net", "device"))
    return whole


def markdown(report: dict[str, Any], drawn: Sequence[str] = ()) -> str:
    """The whole report; `drawn`: where its pictures are."""
    shown = {Path(name).stem.rpartition("-")[2]: f"![{name}]({name})" for name in drawn}
    parts = [facts(report), *_picture(shown, "sums")]
    for place, ranks in places_of(report["sums"]):
        chosen = [r for r in report["sums"] if (r["place"], r["ranks"]) == (place, ranks)]
        where = "on the loopback" if place == LOOPBACK else f"on as many hosts, {place}"
        parts += [f"### {ranks} ranks {where}", sums_table(chosen)]
    if report["runs"]:
        parts += ["### Training", training_table(report["runs"]), *_picture(shown, "training")]
    if report["devices"]:
        parts += ["### Devices beside interconnects", devices_table(report["devices"])]
        parts += _picture(shown, "devices")
    return "\n\n".join(parts) + "\n"


def facts(report: dict[str, Any]) -> str:
    """The machine, the others, what was left out."""
    lines = [f"- {name}: {value}" for name, value in report["machine"].items()]
    lines += [f"- {name}: {text}" for name, text in report["others"].items()]
    lines.append(f"- load at the beginning and the end: {'; '.join(report['load'])}")
    return "\n".join([*lines, *(f"- {line}" for line in report["left_out"])])


def sums_table(records: Sequence[Record]) -> str:
    """A line a length: times, ratios of the others to ours, bytes, share of the link, processor."""
    names = list(dict.fromkeys(record["contender"] for record in records))
    ours = [name for name in names if name not in OTHERS]
    others = [name for name in names if name in OTHERS]
    linked = any(record["share"] for record in records)
    pairs = [(mine, other) for other in others for mine in ours]
    head = ["bytes", *(f"{name}, ms" for name in names)]
    head += [f"{other} / {mine}" for mine, other in pairs]
    head += [f"{name}, CPU ms" for name in names]
    head += [f"{name}, wire" for name in names if name not in ("unix", "shm")]
    head += [f"{name}, of the link" for name in names] if linked else []
    lines = []
    for size in dict.fromkeys(record["bytes"] for record in records):
        row = {record["contender"]: record for record in records if record["bytes"] == size}
        cells = [in_words(size), *_cells(row, names, lambda each: digits(each["ms"]))]
        for mine, other in pairs:
            value = ratio(records, row[mine], other) if mine in row else None
            cells.append("-" if value is None else digits(value))
        cells += _cells(row, names, lambda each: digits(each["cpu_ms"]))
        wired = [name for name in names if name not in ("unix", "shm")]
        cells += _cells(row, wired, on_the_wire)
        if linked:
            cells += _cells(row, names, lambda each: f"{each['share']:.2f}")
        lines.append(cells)
    return table(head, lines)


def places_of(records: Sequence[Record]) -> list[tuple[str, int]]:
    """Where sums were measured, and among how many ranks: slow links first, few ranks first."""
    found = {(record["place"], record["ranks"]) for record in records}
    return sorted(found, key=lambda pair: (PLACES.index(pair[0]), pair[1]))


def on_the_wire(record: Record) -> str:
    """Bytes that left by the interface, of the least that must."""
    return f"{record['wire'] / record['bound']:.3f}" if record["wire"] else "-"


def training_table(runs: Sequence[dict[str, Any]]) -> str:
    """A line a net, hosts and link: an iteration by way, and the share of waiting."""
    ways = list(dict.fromkeys(run["way"] for run in runs))
    links = [way for way in ways if way != ALONE]
    head = ["net, images a rank", "hosts x ranks", "link"]
    head += [f"{way}, ms" for way in ways] + [f"{way}, waiting" for way in links]
    lines = []
    keys = ("net", "batch", "hosts", "ranks", "place")
    rows = dict.fromkeys(tuple(run[name] for name in keys) for run in runs)
    nets = list(dict.fromkeys(run["net"] for run in runs))
    for key in sorted(rows, key=lambda row: (nets.index(row[0]), row[3], -row[2])):
        net, batch, hosts, ranks, place = key
        row = {run["way"]: run for run in runs if tuple(run[name] for name in keys) == key}
        cells = [f"{net}, {batch}", f"{hosts} x {ranks // hosts}", place]
        cells += _cells(row, ways, lambda run: digits(run["ms"]))
        cells += _cells(row, links, lambda run: f"{100 * run['waited_ms'] / run['ms']:.0f} %")
        lines.append(cells)
    return table(head, lines)


def devices_table(records: Sequence[dict[str, Any]]) -> str:
    """A line a net: an iteration on each device, and what its gradients cost at least on a link."""
    timed_first = sorted(records, key=lambda record: record["ms"] is None)
    devices = list(dict.fromkeys(record["device"] for record in timed_first))
    head = ["net, images", "MFLOP", "gradients", *devices]
    head += [f"gradients at {place}, ms" for place in BITS]
    lines = []
    for net in dict.fromkeys(record["net"] for record in records):
        row = {record["device"]: record for record in records if record["net"] == net}
        one = next(iter(row.values()))
        cells = [f"{net}, {one['batch']}", digits(one["flops"] / 1e6), in_words(one["bytes"])]
        cells += _cells(row, devices, cost)
        cells += [digits(1e3 * 8 * one["bytes"] / bits) for bits in BITS.values()]
        lines.append(cells)
    return table(head, lines)


def cost(record: dict[str, Any]) -> str:
    """A device's milliseconds, or what it was counted to do."""
    if record["ms"] is None:
        return f"{record['instructions'] / 1e6:,.0f} million instructions"
    return f"{digits(record['ms'])} ms"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def digits(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def in_words(size: int) -> str:
    """A length as people say it."""
    for unit, one in (("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size} B"


def _cells(
    row: dict[str, dict[str, Any]], names: Iterable[str], text: Callable[[dict[str, Any]], str]
) -> list[str]:
    return [text(row[name]) if name in row else "-" for name in names]


def _picture(shown: dict[str, str], name: str) -> list[str]:
    return [shown[name]] if name in shown else []


def _newest(records: list[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    return list({tuple(record[key] for key in keys): record for record in records}.values())
