"""Run CaffeOnSpark's command line on a cluster: minicaffe submit [SPARK] -- [OPTIONS]

    minicaffe submit --master spark://host:7077 --total-executor-cores 2 -- \\
        -train -conf lenet_solver.prototxt -clusterSize 2 -model lenet.caffemodel

SPARK are spark-submit's options, which all have two dashes; without any, `--` may be left out.
OPTIONS are CaffeOnSpark's; `minicaffe submit -- -help` tells them. spark-submit is that of
SPARK_HOME, else the one on PATH, else that of the package pyspark; Java is found as `minicaffe
java` does. The driver runs this Python, unless PYSPARK_DRIVER_PYTHON or PYSPARK_PYTHON names one.
Spark's own log is silent on the driver, but with -debug or a log4j2 configuration of the user's.
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
LOG = Path(__file__).with_name("log4j2.properties")


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
    if not {"-debug", "--debug"}.intersection(words):
        quieten(submit, spark)
    os.execv(submit, [str(submit), *spark, str(program), *words])


def quieten(submit: Path, spark: list[str]) -> None:
    """Let the driver's JVM log nothing, from its first line on, unless the user has set its log.

    The program sets the level too, but Spark has said some lines before it begins.
    """
    options = os.environ.get("SPARK_SUBMIT_OPTS", "")
    given = [Path(os.environ["SPARK_CONF_DIR"])] if os.environ.get("SPARK_CONF_DIR") else []
    own = [*given, submit.resolve().parents[1] / "conf"]
    if "log4j" in " ".join([options, *spark]) or any(any(each.glob("log4j2.*")) for each in own):
        return
    if LOG.is_file():  # it is not where the package lies in an archive
        # What comes later on the JVM's command line wins: spark.driver.extraJavaOptions, say.
        os.environ["SPARK_SUBMIT_OPTS"] = (
            f"-Dlog4j2.configurationFile={LOG.as_uri()} {options}".rstrip()
        )


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
