"""Make what a course publishes of a lab: minicaffe lab release LAB OUT

OUT/template is a repository for GitHub Classroom, OUT/autograder.zip is for Gradescope. The latter
has the seed and the staff's tests inside, and in a checkout the product's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def configure(parser: Any) -> None:
    """Which, where, and what is secret."""
    parser.add_argument("lab", metavar="LAB", help="its name, see minicaffe lab")
    parser.add_argument("folder", metavar="OUT", help="where to put both")
    parser.flag("seed", "of the autograder's random cases (default 1)", type=int, default=1)
    parser.flag("tests", "the staff's: test_TASK.py, test_TASK_*.py", metavar="DIR")
    parser.flag("key", "the course's key, where a lab differs from course to course")
    parser.flag("package", "what pip installs (default: minicaffe[labs] of this version)")


def run(args: argparse.Namespace) -> None:
    """Write them and say where."""
    from ..course import load
    from ..publish import publish
    from ..verify import checkout

    staff = Path(args.tests).absolute() if args.tests else None
    out = Path(args.folder).absolute()
    lab = load(args.lab)
    lab = load(args.lab, lab.draw(args.key or ""))
    for path in publish(lab, out, args.package, args.seed, checkout(), staff):
        print(path)
