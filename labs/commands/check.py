"""Run a lab's tests on the files of this folder: minicaffe lab check [TASK] [-hint]

A line a task: points, tests passed, and the first failure. The exit status is 0 only when all
tests passed.
"""

from __future__ import annotations

import argparse
from typing import Any


def configure(parser: Any) -> None:
    """What to check, and with which random numbers."""
    parser.add_argument("task", metavar="TASK", nargs="?", default="", help="default: all tasks")
    parser.flag("seed", "of the random cases (default 0)", type=int, default=0)
    parser.switch("hint", "show the next hint of the first task that is not done")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ..course import LabError
    from ..folder import find
    from ..report import hint, print_checks

    here = find()
    lack = here.lab.missing()
    if lack:
        raise LabError(lack)
    tasks = [here.lab.task(args.task)] if args.task else list(here.lab.tasks)
    results = print_checks(here, tasks, args.seed, printed=bool(args.task))
    if args.hint:
        print(hint(here, results))
    return 0 if all(result.right for result in results) else 1
