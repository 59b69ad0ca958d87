"""Tell what would fail on a Spark cluster: minicaffe doctor [-master M] [-conf solver.prototxt]

A table of Java, Spark, settings, slots, the executors' Python and libraries, memory, and with -conf
of a training: its prototxts and its data, looked at from every executor. The exit status is 0 where
all is well, else 1. Settings of Spark come from spark-defaults.conf; minicaffe submit takes others.
"""

import argparse
import importlib
from typing import Any

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Where, and what for."""
    parser.flag("master", "Spark's master (default local[*])", metavar="URL")
    parser.flag("conf", "the solver's prototxt of a training", metavar="FILE")
    parser.flag("clusterSize", "how many ranks it is to have", type=int, default=1)
    parser.flag("wait", "seconds to wait for executors", type=int, default=60)
    parser.flag("ports", "where ranks and driver are to listen: 7000-7099")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ..machine.java import use_java

    use_java()
    doctor: Any = importlib.import_module("minicaffe.distributed.spark.doctor")
    names = ("conf", "clusterSize", "wait", "ports")
    well = doctor.main({name: getattr(args, name) for name in names}, args.master)
    return 0 if well else 1
