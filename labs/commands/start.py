"""Start a lab in a folder of its own: minicaffe lab start LAB [DIR]

The folder gets the handout (README.md) and the files to write in: the product's, in which the
bodies of some functions are cut out. Nothing is overwritten.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minicaffe.errors import shown

from ..course import load
from ..folder import find, start


def configure(parser: Any) -> None:
    """Which, and where."""
    parser.add_argument("lab", metavar="LAB", help="its name, see minicaffe lab")
    parser.add_argument("folder", metavar="DIR", nargs="?", default="", help="default: ./LAB")
    parser.flag("key", "the course's key, where a lab differs from course to course", metavar="KEY")
    parser.switch("force", "also where files are: they are kept as NAME.1")


def run(args: argparse.Namespace) -> None:
    """Write the files and say what to do next."""
    lab = load(args.lab)
    lab = load(args.lab, lab.draw(args.key or ""))
    path = Path(args.folder or args.lab).expanduser().absolute()
    kept = start(lab, path, args.force)
    place = shown(str(path))
    print(f"lab {lab.name}: {lab.title}, about {lab.hours:g} hours, {lab.points} points")
    for name, (done, wanted) in find(path).written().items():
        todo = f"{wanted - done} functions to write" if wanted else "to fill in"
        print(f"  {place}/{name}  {todo}")
    for name in kept:
        print(f"  kept: {name}")
    print(f"Read {place}/README.md, then: cd {place}; minicaffe lab check")
    lack = lab.missing()
    if lack:
        print(f"Before that: {lack}")
