"""Say whether labs are fit to be handed out: minicaffe lab verify [LAB ...]

The reference passes, stubs fail, mutants of what students write die, the handout's commands run.
With a checkout the product's own tests are run too. The exit status is 0 only if all holds.
"""

from __future__ import annotations

import argparse
from typing import Any


def configure(parser: Any) -> None:
    """Which labs, and how much."""
    parser.add_argument("labs", metavar="LAB", nargs="*", help="default: all")
    parser.flag(
        "mutants", "how many a task are tried at most (default 0: all)", type=int, default=0
    )
    parser.flag("workers", "processes at a time (default 2)", type=int, default=2)


def run(args: argparse.Namespace) -> int:
    """Print a table a lab, and what does not hold."""
    import time

    from ..course import all_labs, load
    from ..verify import verify

    labs = [load(name) for name in args.labs] or all_labs()
    bad = 0
    for lab in labs:
        began = time.monotonic()
        lack = lab.missing()
        if lack:
            print(f"{lab.name}: not verified: {lack}")
            continue
        print(f"{lab.name}: {lab.title}", flush=True)
        print(
            "  task            tests  hidden  cold s  warm s"
            "  mutants  public  product  equal  alive"
        )
        for report in verify(lab, args.workers, args.mutants):
            print(
                f"  {report.task.name:14}  {report.tests:5}  {report.hidden:6}  {report.cold:6.1f}"
                f"  {report.warm:6.1f}  {report.mutants:7}  {report.by_public:6}"
                f"  {report.by_product:7}  {report.equal:5}  {len(report.alive):5}"
            )
            for fault in report.faults:
                print(f"    {fault}")
            bad += len(report.faults)
        print(f"  {time.monotonic() - began:.1f} s", flush=True)
    print("all labs hold" if not bad else f"{bad} things do not hold")
    return 1 if bad else 0
