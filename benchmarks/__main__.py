"""Print and save the comparison tables: python -m benchmarks

    python -m benchmarks            all tables, with all contenders that are here
    python -m benchmarks --tables nets --threads 2 --rounds 21
    python -m benchmarks --tables convolution --only 'CaffeNet|VGG' --peers torch torch-best
    python -m benchmarks --tables nets --only ResNet --peers unfused
    python -m benchmarks --list     what there is, and what would be left out
    python -m benchmarks --docs     also put the report into docs/benchmarks.md

Writes report.md, report.json and roofline.png into the output folder. Ends with status 1 if a
contender broke down or gave wrong numbers.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import layers, machine, nets, report, roofline
from .cases import Case
from .contender import Contender
from .environment import tuning
from .measure import Plan, Row, compare
from .peers import PEERS

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "benchmarks.md"
PICTURES = CHECKOUT / "docs" / "benchmarks"

LAYERS = {
    "convolution": layers.convolutions,
    "inner_product": layers.products,
    "layers": layers.others,
    "update": layers.updates,
}
PROGRAMS = ("allreduce",)  # with measurements of their own; their output goes into the report


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = machine.cores()
    tables = [*LAYERS, "nets", "one_image", *PROGRAMS]
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--only", default="", help="cases whose title matches (a regex)")
    peers = [key for key in PEERS if key != "minicaffe"]
    usual = [key for key in peers if PEERS[key].usual]
    parser.add_argument("--peers", nargs="*", choices=peers, default=usual)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2][:cores])
    parser.add_argument("--batch", type=int, help="of whole nets, instead of the usual ones")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--turn", type=float, default=Plan.turn, help="seconds of a turn")
    parser.add_argument(
        "--budget", type=float, default=Plan.budget, help="seconds of a contender's turns, a case"
    )
    parser.add_argument("--output", type=Path, default=CHECKOUT / ".benchmarks" / "comparison")
    parser.add_argument("--docs", action="store_true", help=f"fill {PAGE.name} too")
    parser.add_argument("--list", action="store_true", help="list the cases and contenders")
    return parser.parse_args()


def main() -> int:
    """Measure, print, save."""
    options = arguments()
    chosen = [case for case in cases(options) if re.search(options.only, case.title)]
    peers = [key for key in PEERS if key in ("minicaffe", *options.peers)]
    left_out = [PEERS[key].missing() for key in peers if PEERS[key].missing()]
    keys = [key for key in peers if not PEERS[key].missing()]
    if options.list:
        print("\n".join([f"{case.table}: {case.title}" for case in chosen] + left_out))
        return 0
    report_so_far: dict[str, Any] = {
        "machine": machine.describe(),
        "load at the start": machine.load(),
        "left out": left_out,
        "contenders": {},
        "programs": {},
    }
    rows: list[Row] = []
    roofs: list[roofline.Roof] = []
    plan = Plan(options.rounds, options.turn, options.budget)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for threads in options.threads:
            roofs.append(roofline.measure(threads))
            for row in compare_all(chosen, keys, threads, plan, report_so_far):
                rows.append(row)
        for name in options.tables:
            if name in PROGRAMS:
                say(f"benchmarks/{name}.py")
                report_so_far["programs"][name] = output_of(name)
    except KeyboardInterrupt:
        left_out.append("interrupted: what follows is left out")
    report_so_far["load at the end"] = machine.load()
    save(report_so_far, rows, roofs, options)
    return int(any(result.wrong for row in rows for result in row.results.values()))


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The cases of the tables that are wanted."""
    for name in options.tables:
        if name == "nets":
            yield from nets.nets(options.batch)
        elif name == "one_image":
            yield from nets.one_image()
        elif name in LAYERS:
            yield from LAYERS[name]()


def compare_all(
    cases: list[Case], keys: list[str], threads: int, plan: Plan, so_far: dict[str, Any]
) -> Iterator[Row]:
    """A row for each case at a number of threads; the contenders' processes live as long."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minicaffe-peers-")))
        contenders = {
            key: Contender(key, threads, folder) for key in {"numpy": 0, **dict.fromkeys(keys)}
        }
        for contender in contenders.values():
            stack.callback(contender.close)
        for key in keys:
            tuned = f"; {tuning(folder)}" if PEERS[key].tuned else ""
            so_far["contenders"][key] = contenders[key].describe() + tuned
        for number, case in enumerate(cases, start=1):
            started = time.perf_counter()
            row = compare(
                case, [contenders[key] for key in keys], contenders["numpy"], plan, threads
            )
            took = time.perf_counter() - started
            say(f"[{number}/{len(cases)}, {report.threads(threads)}, {took:.0f} s] {line(row)}")
            yield row


def line(row: Row) -> str:
    """A row, short."""
    seconds = row.seconds("minicaffe")
    time_taken = (
        f"{report.digits(1e3 * seconds)} ms" if seconds else report.reason(row, "minicaffe")
    )
    cells = [
        f"{PEERS[key].name} {report.cell(row, key)}" for key in row.results if key != "minicaffe"
    ]
    return f"{row.case.title}: {time_taken}; {', '.join(cells)}"


def output_of(program: str) -> str:
    """What a program of this folder prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}"],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else f"failed with status {done.returncode}"


def save(
    so_far: dict[str, Any], rows: list[Row], roofs: list[roofline.Roof], options: argparse.Namespace
) -> None:
    """Write the files, print the tables."""
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        try:
            roofline.plot(rows, roofs, folder / "roofline.png")
            so_far["picture"] = "roofline.png"
        except ImportError:
            so_far["left out"].append("the picture is left out: no Python package matplotlib")
    (folder / "report.json").write_text(report.to_json(so_far, rows, roofs), encoding="utf-8")
    text = report.markdown(so_far, rows, roofs)
    (folder / "report.md").write_text(text, encoding="utf-8")
    print(text)
    say(f"written: {folder}/report.md, report.json")
    if options.docs:
        if so_far.get("picture"):
            PICTURES.mkdir(exist_ok=True)
            shutil.copy(folder / "roofline.png", PICTURES)
            so_far["picture"] = f"{PICTURES.name}/roofline.png"
        report.put_into_docs(report.markdown(so_far, rows, roofs), PAGE)
        say(f"written: {PAGE}")


def say(text: str) -> None:
    """Tell how far it is, beside the report."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
