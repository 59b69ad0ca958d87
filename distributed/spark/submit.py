"""The program that spark-submit runs: CaffeOnSpark's command line.

    spark-submit --master M minicaffe_submit.py -train -conf lenet_solver.prototxt -model M

Exit status: 0; 1 with one line on standard error for what went wrong; 130 when interrupted. With
-debug the tracebacks and Spark's log are shown.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from minicaffe.errors import ClusterError, Error, extra
from minicaffe.machine.signals import Ended, enable_faulthandler, ending
from minicaffe.monitor.glog import glog
from minicaffe.monitor.waiting import waiting

from .caffe_on_spark import CaffeOnSpark, has_validation
from .config import Config
from .data_source import DataSource
from .options import OPTIONS, parse
from .output import check_format, check_output, write_features, write_test
from .session import NO_CONNECT
from .slots import screen
from .spark_job import reason_of
from .supervision.interrupts import told_once

INTERRUPTED = 130
CLOSING = 60.0  # seconds that Spark has to end its jobs after a signal

# Where the user's settings say nothing.
SETTINGS = {
    "spark.ui.showConsoleProgress": "false",  # there is a progress bar of our own
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.app.name": "minicaffe",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default sys.argv) and return its exit status.

    A first word without a dash is the name of a tool (see tools/).
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args and not args[0].startswith("-"):
        from .tools import main as tool

        return tool(args)
    return program(args, usage(), run)


def program(args: Sequence[str], usage: str, work: Callable[[Any, Config], None]) -> int:
    """Do `work` with a SparkContext and the Config of a command line; the exit status."""
    if any(word in ("-h", "-help", "--help") for word in args):
        print(usage)
        return 0
    debug = "-debug" in args or "--debug" in args
    enable_faulthandler()
    try:
        with glog(), ending(CLOSING), contextlib.nullcontext() if debug else told_once():
            logging.getLogger("minicaffe").setLevel(logging.INFO if debug else logging.WARNING)
            parse(args)  # before Spark takes its seconds to start
            _run(args, debug, work)
        return 0
    except KeyboardInterrupt:
        print("minicaffe: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Ended as signal:
        print(f"minicaffe: {signal}", file=sys.stderr)
        return signal.status
    except (Error, OSError) as error:
        if debug:
            raise
        print(f"minicaffe: error: {error}", file=sys.stderr)
        return 1


def usage() -> str:
    """The options, one a line."""
    lines = [f"  -{name:<16} {option.help}" for name, option in OPTIONS.items()]
    return "\n".join([(__doc__ or "").strip(), "", "Options:", *lines])


def _run(args: Sequence[str], debug: bool, work: Callable[[Any, Config], None]) -> None:
    sc = start_spark(debug)
    try:
        work(sc, Config(sc, args))
    finally:
        sc.stop()


def start_spark(debug: bool, master: str = "") -> Any:
    """A SparkContext with the user's settings, and ours where those say nothing.

    Raises ClusterError in one sentence where Spark does not start; with `debug` as it comes.
    """
    pyspark = extra("pyspark", "spark", "CaffeOnSpark")
    if os.environ.get("SPARK_REMOTE"):  # spark-submit --remote
        raise ClusterError(NO_CONNECT)
    try:
        with screen() as stream, waiting("Spark starts", stream):
            pyspark.SparkContext._ensure_initialized()  # a SparkConf then knows what the user set
            conf = pyspark.SparkConf()
            if master:  # no spark-submit has come before: what it sets for shells is not the user's
                conf.setMaster(master).set("spark.ui.showConsoleProgress", "false")
            for name, value in SETTINGS.items():
                conf.setIfMissing(name, value)
            if not debug:
                conf.setIfMissing("spark.log.level", "OFF")  # what goes wrong is told in one line
            return pyspark.SparkContext.getOrCreate(conf)
    except Exception as error:
        if debug:
            raise
        raise ClusterError(f"Spark does not start: {reason_of(error)}") from None


def run(sc: Any, conf: Config) -> None:
    """Do what a Config says: train, then test or extract features with the model."""
    if not (conf.isTraining or conf.isTest or conf.isFeature):
        raise ClusterError("nothing to do: give -train, -test or -features BLOB,BLOB")
    if conf.isTraining and not conf.modelPath:
        raise ClusterError("-train needs a place for the trained model: -model FILE")
    if conf.isTest or conf.isFeature:
        check_output(conf)
    if conf.isFeature:
        check_format(conf)
    spark = CaffeOnSpark(sc)
    if conf.isTraining:
        source = DataSource.getSource(conf, True)
        if has_validation(conf.solverParameter):
            spark.trainWithValidation(source, DataSource.getSource(conf, False))
        else:
            spark.train(source)
    if conf.isFeature:
        write_features(conf, spark.features(DataSource.getSource(conf, False)))
    elif conf.isTest:
        write_test(conf, spark.test(DataSource.getSource(conf, False)))


if __name__ == "__main__":
    raise SystemExit(main())
