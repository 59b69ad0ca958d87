"""Count what CUDA kernels do: minicaffe cuda profile gemm.gemm a=128x64 b=64x96 c=128x96

For a kernel, or for each kernel of a net (a prototxt: one pass forward and one backward):
instructions a thread, lanes of warps that execute, sectors of memory that a request moves beside
those that its bytes would fill, passes of shared memory (1: no conflict), registers and
occupancy, operations a byte and the least time that they take a card.

For a kernel the lines of Python follow on which memory is used. docs/cuda.md explains the columns.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from .._commands import Parser
from .._net_flags import add_phase_flag, add_stage_flags
from ._call import add_call_words, call_of, use_emulator

if TYPE_CHECKING:
    from ...ptx.profile import Report


def configure(parser: Parser) -> None:
    """What runs, for which card, and where the numbers go."""
    add_call_words(parser, "NET")
    parser.flag("card", "a GPU by name (default A100)", default="A100")
    parser.flag("json", "write all numbers to this file", metavar="FILE")
    parser.flag("o", "draw a picture: .png or .svg", metavar="FILE")
    add_phase_flag(parser, "TRAIN")
    add_stage_flags(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Run it in the emulator; print a row a kernel."""
    use_emulator()
    from ...ptx.checked import watching
    from ...ptx.profile import GPUS, Profiler, Report
    from ...ptx.profile.report import COLUMNS
    from ..summary import print_table

    if args.card.lower() not in GPUS:
        names = ", ".join(gpu.name for gpu in GPUS.values())
        args.error(f"-card {args.card}: one of {names} is expected")
    gpu = GPUS[args.card.lower()]
    is_net = args.call[0].endswith((".prototxt", ".pbtxt"))
    profiler = Profiler()
    if is_net:
        _run_net(args, profiler)
    else:
        call = call_of(args.call, args.seed)
        with watching(profiler.begin):
            call()
    reports = [Report(counters, gpu) for counters in profiler.counters]
    if not reports:
        args.error("no CUDA kernel was launched")
    print_table([COLUMNS, *(report.row() for report in reports)], 2)
    if not is_net:
        for report in reports:
            _print_details(report)
    print(
        f"least us: of a launch on {gpu.name}, {gpu.flops / 1e12:.1f} TFLOP/s and"
        f" {gpu.bandwidth / 1e9:.0f} GB/s; from {gpu.balance:.1f} FLOP/byte on arithmetic limits"
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump([report.json() for report in reports], file, indent=1)
    if args.o:
        from ...ptx.profile.picture import draw

        draw(reports, args.o)


def _run_net(args: argparse.Namespace, profiler: object) -> None:
    from ... import context
    from ...ptx.checked import watching
    from .._net_flags import build_net

    context.current().device = "cuda"
    args.model = args.call[0]
    net = build_net(args)
    with watching(profiler.begin):  # type: ignore[attr-defined]
        net.forward_pass()
        if args.phase == "TRAIN":
            net.backward_pass()
    net.close()


def _print_details(report: Report) -> None:
    """Instructions by kind, what limits the occupancy, and lines of the source."""
    from ..summary import print_table

    counters = report.counters
    shares = ", ".join(f"{kind} {count:.1f}" for kind, count in report.instructions.items())
    print(f"\n{report.name}, grid {counters.grid}, block {counters.block}: a thread does {shares}")
    occupancy = report.occupancy
    if occupancy and report.assembled:
        print(
            f"{report.assembled.registers} registers, {report.assembled.spilled} bytes spilled:"
            f" {occupancy[0]} blocks a multiprocessor, limited by {occupancy[2]}"
        )
    rows = [("line", "instr/thread", "sectors", "ideal", "passes")]
    for file, line, counts in report.lines():
        if line:
            requests, parts = counts["requests"], counts["parts"]
            rows.append(
                (
                    f"{file}:{line}",
                    f"{counts['instructions'] / max(1, counters.threads):.1f}",
                    f"{counts['sectors'] / requests:.2f}" if requests else "",
                    f"{counts['ideal'] / requests:.2f}" if requests else "",
                    f"{counts['passes'] / parts:.2f}" if parts else "",
                )
            )
    if rows[1:]:
        print_table(rows, 1)
