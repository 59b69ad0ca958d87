"""Stop in a debugger where a task's first test fails: minicaffe lab debug TASK

Kernels run as Python (NUMBA_DISABLE_JIT=1), so that pdb sees their lines too. Ctrl-C stops a loop
that does not end. In pdb: w where, u and d up and down, p NAME print, q quit.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any


def configure(parser: Any) -> None:
    """Which task."""
    parser.add_argument("task", metavar="TASK", help="see minicaffe lab check")
    parser.flag("seed", "of the random cases (default 0)", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Become pytest with pdb."""
    from ..children import environment, pytest_words
    from ..course import ROOT, LabError
    from ..folder import fault, find
    from ..grading import public_tests

    here = find()
    task = here.lab.task(args.task)
    said = here.lab.missing() or fault(here.path, here.lab, task)[1]
    if said:
        raise LabError(said)
    words = pytest_words(public_tests(here.lab, task), ROOT.parent, here.path, None)
    variables = environment(here.path, args.seed, NUMBA_DISABLE_JIT="1")
    command = [sys.executable, "-m", "pytest", *words, "-x", "--pdb", "-s"]
    os.chdir(here.path)
    os.execve(sys.executable, command, variables)
