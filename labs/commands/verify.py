"""Say whether labs are fit to be handed out: minicaffe lab verify [LAB ...]

The reference passes, stubs fail, mutants of what students write die, the handout's commands run.
With a checkout the product's own tests are run too. The exit status is 0 only if all holds.
"""

from __future__ import annotations

import argparse
from typing import Any

HEAD = "  task            tests  hidden  cold s  warm s  mutants  public  product  equal  alive"


def configure(parser: Any) -> None:
    """Which labs, and how much."""
    parser.add_argument("labs", metavar="LAB", nargs="*", help="default: all")
    parser.flag(
        "mutants", "how many a task are tried at most (default 0: all)", type=int, default=0
    )
    parser.flag("workers", "processes at a time (default 2)", type=int, default=2)


def run(args: argparse.Namespace) -> int:
    """Print a table a lab, and what does not hold."""
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    from ..course import all_labs, load

    labs = [load(name) for name in args.labs] or all_labs()
    # Several labs go side by side: each has parts in which only one process is at work.
    each = 1 if len(labs) > 1 else args.workers
    bad = 0
    with ThreadPoolExecutor(args.workers) as threads:
        for lines, faults in threads.map(partial(_verified, each, args.mutants), labs):
            print("\n".join(lines), flush=True)
            bad += faults
    print("all labs hold" if not bad else f"{bad} things do not hold")
    return 1 if bad else 0


def _verified(workers: int, most: int, lab: Any) -> tuple[list[str], int]:
    """What is said of a lab, in lines, and how many things do not hold."""
    import time

    from ..verify import verify

    began = time.monotonic()
    lack = lab.missing()
    if lack:
        return [f"{lab.name}: not verified: {lack}"], 0
    lines = [f"{lab.name}: {lab.title}", HEAD]
    faults = 0
    for report in verify(lab, workers, most):
        lines.append(
            f"  {report.task.name:14}  {report.tests:5}  {report.hidden:6}  {report.cold:6.1f}"
            f"  {report.warm:6.1f}  {report.mutants:7}  {report.by_public:6}"
            f"  {report.by_product:7}  {report.equal:5}  {len(report.alive):5}"
        )
        lines += (f"    {fault}" for fault in report.faults)
        faults += len(report.faults)
    return [*lines, f"  {time.monotonic() - began:.1f} s"], faults
