"""Run CaffeOnSpark's command line on a cluster: minicaffe submit [SPARK] -- [OPTIONS]

    minicaffe submit --master spark://host:7077 --total-executor-cores 2 -- \\
        -train -conf lenet_solver.prototxt -clusterSize 2 -model lenet.caffemodel

SPARK are spark-submit's options, which all have two dashes; without any, `--` may be left out.
OPTIONS are CaffeOnSpark's; `minicaffe submit -- -help` tells them. spark-submit is that of
SPARK_HOME, else the one on PATH, else that of the package pyspark; Java is found as `minicaffe
java` does. The driver runs this Python, unless PYSPARK_DRIVER_PYTHON or PYSPARK_PYTHON names one.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from ._commands import HELP, Parser, UsageError

PASSES_ON = True  # its words are another program's
PROGRAM = "minicaffe_submit.py"


def configure(parser: Parser) -> None:
    """No flags: the words are passed on."""


def run(args: argparse.Namespace) -> None:
    """Become spark-submit. Raises UsageError, MissingExtra."""
    from ..machine.java import use_java

    spark, words = divide(args.words)
    program = find_program()
    if HELP.intersection(words):  # nothing of it needs Spark
        os.execv(sys.executable, [sys.executable, str(program), *words])
    submit = find_spark_submit()
    use_java()
    if "PYSPARK_PYTHON" not in os.environ:
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.execv(submit, [str(submit), *spark, str(program), *words])


def divide(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first `--`. Raises UsageError."""
    if "--" in words:
        at = words.index("--")
        return words[:at], words[at + 1 :]
    if words and words[0].startswith("--"):
        raise UsageError(
            "minicaffe submit",
            f"a -- is expected between spark-submit's options, such as {words[0]}, and ours:"
            " minicaffe submit --master local[2] -- -train ...",
        )
    return [], words


def find_spark_submit() -> Path:
    """The program spark-submit. Raises MissingExtra."""
    from ..errors import Error, MissingExtra

    home = os.environ.pop("SPARK_HOME", "")
    if home:
        path = Path(home, "bin", "spark-submit")
        if not os.access(path, os.X_OK):
            raise Error(f"SPARK_HOME is {home}, which has no bin/spark-submit that runs")
        os.environ["SPARK_HOME"] = home
        return path
    found = shutil.which("spark-submit")
    if found:
        return Path(found)
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        raise MissingExtra("pyspark, or SPARK_HOME", "spark", "submit")
    folder = Path(package.origin).parent
    os.environ["SPARK_HOME"] = str(folder)
    return folder / "bin" / "spark-submit"


def find_program() -> Path:
    """The program that spark-submit runs: in the checkout, or among the installed scripts."""
    from ..errors import Error

    beside = Path(__file__).parents[2]
    folders = [
        beside,
        beside / "bin",
        Path(sysconfig.get_path("scripts")),
        Path(sys.argv[0]).parent,
    ]
    for folder in folders:
        if (folder / PROGRAM).is_file():
            return folder / PROGRAM
    raise Error(f"{PROGRAM} is not among the installed scripts: {', '.join(map(str, folders))}")
