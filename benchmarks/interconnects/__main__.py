"""Measure interconnects: python -m benchmarks.interconnects

    python -m benchmarks.interconnects                 all parts, sizes, ranks, places, contenders
    python -m benchmarks.interconnects --quick         a few of each
    python -m benchmarks.interconnects --parts sums --ranks 4 --places "1 Gbit/s" --bytes 1K 20M
    python -m benchmarks.interconnects --parts training --nets LeNet --shapes 2x1 2x2
    python -m benchmarks.interconnects --draw report.json    tables and pictures of a run that was
    python -m benchmarks.interconnects --docs                put them into docs/interconnects.md too

The links of 100 Mbit/s, 1 and 10 Gbit/s join test hosts in network namespaces (netlab.py), which
takes root on Linux. PyTorch and mpi4py with Open MPI take part where they are installed. Writes
report.json (as it goes), report.md and pictures into the output folder; a run that is interrupted
or fails keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.report import put_into_docs

from . import devices, pictures, sums, tables, training
from .contenders import GLOO, MPI, lacking, transports
from .places import LOOPBACK, PLACES, possible

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "interconnects.md"
PARTS = ("sums", "training", "devices")
UNITS = {"K": 1 << 10, "M": 1 << 20}
SIZES = ("1K", "8K", "64K", "256K", "1M", "4M", "20M", "100M", "250M")
QUICK: dict[str, Any] = {
    "bytes": ["1K", "64K", "1M"],
    "ranks": [2],
    "places": [LOOPBACK, "1 Gbit/s"],
    "nets": ["LeNet"],
    "shapes": ["2x1"],
    "budget": 0.5,
}
WHOLE: dict[str, Any] = {
    "bytes": list(SIZES),
    "ranks": [2, 4, 8],
    "places": list(PLACES),
    "nets": [task.net for task in training.TASKS],
    "shapes": ["2x1", "4x1", "2x2"],
    "budget": 3.0,
}


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interconnects", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = [*transports(True), GLOO, MPI]
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="a few sizes, ranks, nets and places")
    parser.add_argument("--bytes", nargs="+", help=f"lengths (default {' '.join(SIZES)})")
    parser.add_argument("--ranks", nargs="+", type=int, help="numbers of ranks (default 2 4 8)")
    parser.add_argument("--places", nargs="+", choices=PLACES)
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--nets", nargs="+", choices=WHOLE["nets"])
    parser.add_argument("--shapes", nargs="+", help="of trainings: HOSTSxRANKS_EACH (2x1 4x1 2x2)")
    known = devices.DEVICES
    parser.add_argument("--devices", nargs="+", choices=known, default=list(known))
    parser.add_argument("--budget", type=float, help="seconds for the turns of a size")
    parser.add_argument("--output", type=Path, default=CHECKOUT / ".benchmarks" / "interconnects")
    parser.add_argument("--docs", action="store_true", help=f"fill docs/{PAGE.name} too")
    parser.add_argument("--draw", type=Path, nargs="+", help="reports to put together and show")
    options = parser.parse_args(words)
    for name, value in (QUICK if options.quick else WHOLE).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.bytes = [length(text) for text in options.bytes]
    options.shapes = [shape(text) for text in options.shapes]
    return options


def length(text: str) -> int:
    """Bytes: "1K", "20M", "4000"; of whole float32."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    if not number.isdecimal() or int(number) * unit % sums.ITEM or int(number) == 0:
        raise SystemExit(f"--bytes {text}: lengths are like 1K, 20M or 4000, of whole float32")
    return int(number) * unit


def shape(text: str) -> tuple[int, int]:
    """Hosts and ranks in all: "2x2" is (2, 4)."""
    hosts, _, each = text.partition("x")
    if not (hosts.isdecimal() and each.isdecimal() and int(hosts) * int(each) > 1):
        raise SystemExit(f"--shapes {text}: HOSTSxRANKS_EACH, two ranks at least, like 4x1")
    return int(hosts), int(hosts) * int(each)


def main() -> int:
    """Measure, save, print."""
    options = arguments()
    if options.draw:
        saved = [json.loads(path.read_text()) for path in options.draw]
        return finish(tables.together(saved), options)
    places, left_out = possible(options.places)
    names = [name for name in options.contenders if not lacking(name)]
    if "sums" in options.parts:
        left_out += [lacking(name) for name in options.contenders if lacking(name)]
    report: dict[str, Any] = {
        "machine": machine.describe(), "load": [machine.load()], "others": {},
        "left_out": left_out, "sums": [], "nets": [], "runs": [], "devices": [],
    }  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    try:
        measure(report, options, places, names)
    except KeyboardInterrupt:
        left_out.append("interrupted: what follows is left out")
    except Exception as error:  # what was measured before is kept
        traceback.print_exc()
        left_out.append(f"broke down: {type(error).__name__}: {error}")
        status = 1
    report["load"].append(machine.load())
    return finish(report, options) or status


def measure(
    report: dict[str, Any], options: argparse.Namespace, places: list[str], names: list[str]
) -> None:
    """All parts that are wanted, into the report as they come."""
    if "sums" in options.parts:
        for record in sums.measure(
            places, options.ranks, options.bytes, names, options.budget, report["others"], say
        ):
            report["sums"].append(record)
            keep(report, options.output)
    if "training" in options.parts:
        for kind, record in training.measure(options.nets, options.shapes, places, say):
            report[kind].append(record)
            keep(report, options.output)
    if "devices" in options.parts:
        chosen = list(options.devices)
        if devices.EMULATED in chosen and (reason := devices.cannot_count()):
            report["left_out"].append(reason)
            chosen.remove(devices.EMULATED)
        for record in devices.measure(options.nets, chosen, say):
            report["devices"].append(record)
            keep(report, options.output)


def keep(report: dict[str, Any], folder: Path) -> None:
    """Write the figures that there are, whatever comes afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


def finish(report: dict[str, Any], options: argparse.Namespace) -> int:
    """Write the files, print the tables."""
    folder = options.output
    keep(report, folder)
    drawn: list[str] = []
    try:
        drawn = pictures.draw(report, folder)
    except ImportError:
        say("the pictures are left out: no Python package matplotlib")
    text = tables.markdown(report, drawn)
    (folder / "report.md").write_text(text, encoding="utf-8")
    print(text)
    say(f"written: {', '.join(['report.json', 'report.md', *drawn])} in {folder}")
    if options.docs:
        beside = PAGE.parent / "benchmarks"
        for name in drawn:
            shutil.copy(folder / name, beside / f"interconnects-{name}")
        names = [f"{beside.name}/interconnects-{name}" for name in drawn]
        put_into_docs(tables.markdown(report, names), PAGE)
        say(f"written: {PAGE}")
    return 0


def say(text: str) -> None:
    """Tell how far it is, beside the report."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
