"""Draw the curves of trainings: minicaffe plot LOG... -o curves.png

A LOG is what a training wrote on standard error (ours or Caffe's), or the CSV file of its metrics.
Loss, accuracy and other outputs, and the learning rate, each have a panel.
"""

import argparse
from pathlib import Path

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Files, and a picture."""
    parser.add_argument("logs", nargs="+", metavar="LOG", help="a log, or a CSV file of metrics")
    parser.flag("o", "the picture: .png or .svg", metavar="FILE")
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Read all logs, then draw."""
    if not args.o:
        args.error("a picture must be named: -o curves.png")
    from ..monitor.curves import plot, read_training

    names = _names([Path(log) for log in args.logs])
    logs = [(name, read_training(log)) for name, log in zip(names, args.logs, strict=True)]
    print(f"{args.o}: {', '.join(plot(logs, args.o))}")


def _names(paths: list[Path]) -> list[str]:
    """The files' names, with their folders where two are equal."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
