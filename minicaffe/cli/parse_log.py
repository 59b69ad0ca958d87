"""Turn a training's log into tables: minicaffe parse_log LOG FOLDER makes LOG.train, LOG.test"""

import argparse
import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..machine.whole_file import whole_file
from ._commands import Parser

if TYPE_CHECKING:
    from ..monitor.training_log import Row


def configure(parser: Parser) -> None:
    """A file and a folder."""
    parser.add_argument("log", help="the log, of Caffe or of minicaffe")
    parser.add_argument("folder", help="where LOG.train and LOG.test are written")
    parser.flag("delimiter", "between the columns (default ',')", default=",")
    parser.switch("verbose", "say what was written")


def run(args: argparse.Namespace) -> None:
    """Parse, and write a line of names and a line for each iteration that was displayed."""
    from ..monitor.training_log import read_training_log

    log = read_training_log(args.log)
    for part, rows in (("train", log.train), ("test", log.test)):
        path = Path(args.folder) / f"{Path(args.log).name}.{part}"
        write_table(path, rows, args.delimiter)
        if args.verbose:
            print(f"{path}: {len(rows)} rows")


def write_table(path: Path, rows: "list[Row]", delimiter: str) -> None:
    """The columns of Caffe's parse_log: NumIters, Seconds, LearningRate, then the outputs.

    As there, the first row gets the rate of the second: the log tells it only afterwards.
    """
    rows = [row for row in rows if row.outputs]
    if len(rows) > 1:
        rows[0].lr = rows[1].lr
    names = list(dict.fromkeys(name for row in rows for name in row.outputs))
    with whole_file(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        table.writerow(["NumIters", "Seconds", "LearningRate", *names])
        for row in rows:
            cells = [row.seconds, row.lr, *(row.outputs.get(name, math.nan) for name in names)]
            table.writerow([float(row.iteration), *cells])
