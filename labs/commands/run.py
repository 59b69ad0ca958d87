"""Run a command of minicaffe with the files of this folder: minicaffe lab run train -solver ..."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

PASSES_ON = True


def configure(parser: Any) -> None:
    """Everything goes on to the command."""
    parser.add_argument("words", metavar="COMMAND ...", nargs="*", help="as after `minicaffe`")


def run(args: argparse.Namespace) -> int:
    """Say whose files are taken, and become that command."""
    from ..course import LabError
    from ..folder import find

    here = find()
    if not args.words:
        raise LabError("minicaffe lab run COMMAND ...: which command? (minicaffe --help)")
    told = [
        f"{name} ({done} of {wanted} functions written)"
        for name, (done, wanted) in here.written().items()
        if wanted and (here.path / name).exists()
    ]
    print(f"from this folder: {', '.join(told) or 'nothing'}", flush=True)
    variables = {**os.environ, **here.environment()}
    os.execve(sys.executable, [sys.executable, "-m", "minicaffe", *args.words], variables)
