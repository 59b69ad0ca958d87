"""The tables: as Markdown for people, as JSON with every sample for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Row
from .peers import PEERS
from .roofline import Roof

TITLES = {
    "convolution": "Convolutions",
    "inner_product": "Inner products",
    "layers": "Other layers",
    "update": "The SGD update",
    "nets": "Whole nets",
    "one_image": "Whole nets, one image at a time",
}

MEMORY_BOUND = {"layers", "update"}


def markdown(report: dict[str, Any], rows: Sequence[Row], roofs: Sequence[Roof]) -> str:
    """The whole report."""
    keys = report["contenders"]
    parts = [machine(report)]
    for roof in roofs:
        parts.append(
            f"Measured limits, {threads(roof.threads)}: {roof.peak / 1e9:.0f} GFLOP/s,"
            f" {roof.memory / 1e9:.1f} GB/s in memory, {roof.cache / 1e9:.0f} GB/s in the"
            " second-level cache (copies; bytes read and written)."
        )
    if report.get("picture"):
        parts.append(f"![Roofline]({report['picture']})")
    for name in dict.fromkeys(row.case.table for row in rows):
        for roof in roofs:
            chosen = [row for row in rows if (row.case.table, row.threads) == (name, roof.threads)]
            if not chosen:  # the measurement was interrupted
                continue
            parts.append(f"### {TITLES.get(name, name)}, {threads(roof.threads)}")
            parts.append(table(chosen, roof, keys))
            parts.append(undisturbed(chosen))
    for name, text in report.get("programs", {}).items():
        parts.append(f"### `benchmarks/{name}.py`")
        parts.append(text.strip().replace("\n|", "\n\n|", 1))  # a table begins a paragraph
    return "\n\n".join(parts) + "\n"


def machine(report: dict[str, Any]) -> str:
    """The machine, the contenders and what was left out."""
    facts = report["machine"]
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines.append(f"- load at the start: {report['load at the start']}; at the end:"
                 f" {report['load at the end']}")  # fmt: skip
    for key, description in report["contenders"].items():
        lines.append(f"- contender {PEERS[key].name}: {description}")
    lines += [f"- {line}" for line in report["left out"]]
    return "\n".join(lines)


def threads(count: int) -> str:
    """A number of threads in words."""
    return f"{count} thread{'s' if count > 1 else ''}"


def table(rows: Sequence[Row], roof: Roof, keys: Sequence[str]) -> str:
    """The cases of a table at a number of threads, and the geometric means of the ratios."""
    others = [key for key in keys if key != "minicaffe"]
    unit = "CPU ms" if roof.threads == 1 else "ms"
    memory_bound = rows[0].case.table in MEMORY_BOUND
    speed = "GB/s" if memory_bound else "GFLOP/s"
    head = ["case", f"minicaffe, {unit}", speed, "of the roof"]
    head += [PEERS[key].name for key in others]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        seconds = row.seconds("minicaffe")
        cells = [row.case.title]
        if seconds:
            amount = row.bytes if memory_bound else row.flops
            cells += [digits(1e3 * seconds), digits(amount / seconds / 1e9)]
            cells += [f"{100 * roof.seconds(row) / seconds:.0f} %"]
        else:
            cells += [reason(row, "minicaffe"), "", ""]
        lines.append(cells + [cell(row, key) for key in others])
    means = ["geometric mean", "", "", ""]
    lines.append(means + [geometric_mean([row.ratio(key) for row in rows]) for key in others])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def undisturbed(rows: Sequence[Row]) -> str:
    """How idle the machine was: turns in which no other process took the processor away."""
    samples = [sample for row in rows for each in row.results.values() for sample in each.samples]
    clean = sum(sample.preempted == 0 for sample in samples)
    return f"Turns in which nothing else took a core away: {clean} of {len(samples)}."


def digits(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell(row: Row, key: str) -> str:
    """A ratio, with the contender's note; or why there is none."""
    ratio = row.ratio(key)
    if ratio is None:
        return reason(row, key)
    note = row.results[key].note
    return f"{ratio:.2f}" + (f" ({note})" if note else "")


def reason(row: Row, key: str) -> str:
    """Why there is no figure: a dash for what a contender cannot do, the words for a fault."""
    result = row.results[key]
    return result.reason if result.wrong else "-"


def geometric_mean(ratios: Sequence[float | None]) -> str:
    """Over the cases that have one."""
    known = [ratio for ratio in ratios if ratio]
    if not known:
        return "-"
    return f"{math.exp(sum(map(math.log, known)) / len(known)):.2f}"


def to_json(report: dict[str, Any], rows: Sequence[Row], roofs: Sequence[Roof]) -> str:
    """Everything, with all samples: seconds a call by each clock."""
    found = {**report, "roofs": [asdict(roof) for roof in roofs], "rows": []}
    for row in rows:
        results = {}
        for key, result in row.results.items():
            ratio = row.ratio(key)
            medians = {f"median {clock}": result.median(clock) for clock in ("wall", "cpu")}
            results[key] = {**asdict(result), **medians, "ratio": ratio}
        found["rows"].append(
            {"table": row.case.table, "case": row.case.name, "work": row.case.work,
             "threads": row.threads, "flops": row.flops, "bytes": row.bytes, "results": results}
        )  # fmt: skip
    return json.dumps(found, indent=1)


def put_into_docs(text: str, page: Path) -> None:
    """Put the report between the page's two marks, in place of the one before."""
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no lines '{begin}' and '{end}'")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
