"""`minicaffe submit` becomes spark-submit, with the program and everybody's options in place."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.cli import main
from tests.conftest import CHECKOUT

SAYS = '#!/bin/sh\nprintf "%s\\n" "$PYSPARK_DRIVER_PYTHON" "$@"\nexit 7\n'
PROGRAM = str(CHECKOUT / "minicaffe_submit.py")


@pytest.fixture
def spark(tmp_path: Path) -> Path:
    """A SPARK_HOME whose spark-submit tells what it is given."""
    (tmp_path / "bin").mkdir()
    submit = tmp_path / "bin" / "spark-submit"
    submit.write_text(SAYS)
    submit.chmod(0o755)
    return tmp_path


def submit(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "SPARK_SUBMIT_OPTS", "SPARK_CONF_DIR"):
        if name not in variables:
            environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "minicaffe", "submit", *words],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "passed_on"),
    [
        (
            "--master local[2] --name x -- -train -conf s --debug -v 1",
            f"--master local[2] --name x {PROGRAM} -train -conf s --debug -v 1",
        ),
        ("-train -conf s", f"{PROGRAM} -train -conf s"),
        ("-- --train", f"{PROGRAM} --train"),
    ],
)
def test_the_words_reach_spark_submit(spark: Path, words: str, passed_on: str) -> None:
    done = submit(*words.split(), SPARK_HOME=str(spark))
    assert done.stdout.split() == [sys.executable, *passed_on.split()], done.stderr
    assert done.returncode == 7


SILENT = "-Dlog4j2.configurationFile=file:///.*/minicaffe/cli/log4j2.properties"


@pytest.mark.parametrize(
    ("words", "variables", "options"),
    [
        ("-- -train", {}, SILENT),
        ("-- -train", {"SPARK_SUBMIT_OPTS": "-Dx=y"}, f"{SILENT} -Dx=y"),
        ("-- -train", {"SPARK_SUBMIT_OPTS": "-Dlog4j2.level=info"}, "-Dlog4j2.level=info"),
        ("-- -train -debug", {}, ""),
        ("--driver-java-options -Dlog4j2.configurationFile=mine -- -train", {}, ""),
        ("-- -train", {"SPARK_CONF_DIR": "{folder}"}, ""),
    ],
)
def test_sparks_log_is_silent_unless_the_user_has_set_it(
    spark: Path, words: str, variables: dict[str, str], options: str
) -> None:
    (spark / "bin" / "spark-submit").write_text('#!/bin/sh\nprintf "<%s>" "$SPARK_SUBMIT_OPTS"\n')
    (spark / "log4j2.properties").write_text("rootLogger.level = info\n")
    given = {name: value.format(folder=spark) for name, value in variables.items()}
    told = submit(*words.split(), SPARK_HOME=str(spark), **given).stdout
    assert re.fullmatch(f"<{options}>", told), told


def test_spark_submit_is_found_on_the_path(spark: Path) -> None:
    path = f"{spark}/bin{os.pathsep}{os.environ['PATH']}"
    assert submit("-train", SPARK_HOME="", PATH=path).returncode == 7


def test_the_options_are_told_without_spark() -> None:
    assert "-lmdb_partitions" in submit("--", "-help", SPARK_HOME="/nowhere").stdout
    assert "-labelFile" in submit("Binary2DataFrame", "-help", SPARK_HOME="/nowhere").stdout


@pytest.mark.parametrize(
    ("words", "variables", "says"),
    [
        (["-train"], {"SPARK_HOME": "/nowhere"}, "SPARK_HOME is /nowhere, which has no bin/spark"),
        (["--master", "local", "-train"], {}, "-- is expected between spark-submit's options"),
    ],
)
def test_what_cannot_be_submitted(
    words: list[str],
    variables: dict[str, str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["submit", *words]) in (1, 2)
    assert says in capsys.readouterr().err
