"""CaffeOnSpark on executors of their own: local-cluster, a standalone cluster, spark-submit."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.shipping.package_code import package_zip
from minicaffe.errors import ClusterError
from minicaffe.proto.files import read_net_binary
from tests.conftest import CHECKOUT
from tests.spark_cluster import SETTINGS, SmallSet, Standalone, environment, spark_context

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.slow, pytest.mark.timeout(300)]


def weights(model: Path) -> list[np.ndarray]:
    layers = read_net_binary(model).layer
    return [np.array(blob.data) for layer in layers for blob in layer.blobs]


# --- local-cluster -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    os.environ["SPARK_WORKER_DIR"] = str(tmp_path_factory.mktemp("worker"))
    try:
        with spark_context("local-cluster[2,1,1024]") as sc:
            yield sc
    finally:
        del os.environ["SPARK_WORKER_DIR"]


def test_executors_get_their_code_and_give_their_model(sc: Any, small: SmallSet) -> None:
    """Two executors with disks that count as their own: nothing is shipped by hand.

    A Python layer that only the driver finds, beside the prototxt, is there too.
    """
    solver = small.solver(net=small.python_layer("2"))
    args = ["-conf", solver, "-clusterSize", "2", "-model", str(small.folder / "m"),
            "-features", "ip1,times,ip2", "-label", "label"]  # fmt: skip
    conf = Config(sc, args)
    spark = CaffeOnSpark(sc)
    spark.train(DataSource.getSource(conf, True))
    frame = spark.features(DataSource.getSource(conf, False))
    rows = frame.collect()
    assert [row.SampleID for row in rows] == [f"{i:08d}" for i in range(21)]
    right = [int(np.argmax(row.ip2)) == row.label[0] for row in rows]
    assert np.mean(right) > 0.8
    assert all(row.times == [2 * value for value in row.ip1] for row in rows)
    assert len(spark.test(DataSource.getSource(conf, False))["times"]) == 12
    frame.unpersist()


def test_a_driver_with_a_disk_of_its_own(
    sc: Any, small: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc/self/cwd is another folder for the driver than for the executors."""
    monkeypatch.chdir(small.folder)
    own = "/proc/self/cwd"

    def train(model: str, *args: str, more: str = "") -> bytes:
        solver = small.solver(more=more)
        conf = Config(sc, ["-conf", solver, "-clusterSize", "2", "-model", model, *args])
        CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
        return (small.folder / os.path.basename(model)).read_bytes()

    near = train(str(small.folder / "near.caffemodel"), more="snapshot: 10")
    assert train(f"{own}/far.caffemodel") == near
    resumed = train(
        f"{own}/resumed.caffemodel", "-snapshot", f"{own}/small_iter_10.solverstate",
        "-weights", f"{own}/small_iter_10.caffemodel",
    )  # fmt: skip
    assert resumed == near
    conf = Config(sc, ["-conf", small.solver(), "-model", f"{own}/far.caffemodel"])
    assert CaffeOnSpark(sc).test(DataSource.getSource(conf, False))["accuracy"][0] > 0.8
    with pytest.raises(ClusterError, match="snapshots go to /proc/self/cwd, which is not the same"):
        train(f"{own}/far.caffemodel", more="snapshot: 10")


def test_fewer_executors_than_asked_for(sc: Any, small: SmallSet) -> None:
    conf = Config(sc, ["-conf", small.solver(), "-clusterSize", "3"])
    with pytest.raises(ClusterError, match=r"3 ranks .* slots for 2: use -clusterSize 2"):
        CaffeOnSpark(sc).train(DataSource.getSource(conf, True))


# --- spark-submit ------------------------------------------------------------------------------


def submit(folder: Path, master: str, *args: str, spark: tuple[str, ...] = ()) -> Any:
    """Run spark-submit with the code as a zip, from a folder where there is no checkout."""
    env = environment(folder)
    env.pop("PYTHONPATH", None)
    program = shutil.copy(CHECKOUT / "minicaffe_submit.py", folder)
    java = f"spark.driver.extraJavaOptions={SETTINGS['spark.driver.extraJavaOptions']}"
    command = [f"{env['SPARK_HOME']}/bin/spark-submit", "--master", master, "--conf", java,
               "--py-files", str(package_zip(folder)), *spark, program, *args]  # fmt: skip
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False
    )


def test_spark_submit_trains_and_extracts(small: SmallSet) -> None:
    done = submit(
        small.folder, "local[2]", "-train", "-conf", small.solver(), "-clusterSize", "2",
        "-model", "m.caffemodel", "-features", "ip2", "-label", "label", "-output", "features",
        "-outputFormat", "parquet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stdout
    assert (small.folder / "m.caffemodel").exists()
    assert list((small.folder / "features").glob("*.parquet"))


def test_minicaffe_submit_finds_spark_and_what_files_ships(small: SmallSet) -> None:
    """Solver and net lie elsewhere: --files names them, -conf has the name alone."""
    small.solver(max_iter=2)
    work = small.folder / "elsewhere"
    work.mkdir()
    env = environment(small.folder) | {"PYTHONPATH": str(CHECKOUT), "SPARK_HOME": ""}
    net = (small.folder / "solver_net.prototxt").rename(small.folder / "shipped_net.prototxt")
    solver = small.folder / "solver.prototxt"
    solver.write_text(re.sub('net: ".*?"', f'net: "{net.name}"', solver.read_text()))
    command = [sys.executable, "-m", "minicaffe", "submit", "--master", "local[1]",
               "--files", f"{solver},{net}", "--", "-train", "-conf", "solver.prototxt",
               "-model", "m"]  # fmt: skip
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / "m").exists()


def test_settings_of_the_user_come_before_ours(small: SmallSet) -> None:
    """Those given to spark-submit too; with a level of its own the log is not silent."""
    done = submit(
        small.folder, "local[2]", "-train", "-conf", small.solver(max_iter=1), "-model", "m",
        spark=("--conf", "spark.log.level=INFO", "--name", "a name of the user's"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "INFO SparkContext: Submitted application: a name of the user's" in done.stderr


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["-trian"], "there is no option -trian; did you mean '-train'?"),
        (["-train", "-conf", "none", "-model", "m"], "-conf: there is no solver prototxt none"),
        (["-clusterSize", "2"], "label"),
    ],
)
def test_spark_submit_fails_with_one_line(small: SmallSet, args: list[str], line: str) -> None:
    if args[0] == "-clusterSize":
        solver = small.solver()
        net = small.folder / "solver_net.prototxt"
        net.write_text(net.read_text().replace("num_output: 4", "num_output: 2"))
        args = [*args, "-train", "-conf", solver, "-model", "m"]
    done = submit(small.folder, "local[2]", *args)
    assert done.returncode == 1
    # spark-submit sends a Python program's standard error to its standard output.
    said = done.stdout.splitlines()
    assert said[-1].startswith("minicaffe: error: ")
    assert line in said[-1]
    assert sum("rror" in each for each in said) == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert not (small.folder / "m").exists()


# --- a standalone cluster ----------------------------------------------------------------------


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[str]:
    """A Master and two Workers of one core each; the master's URL."""
    with contextlib.closing(Standalone(tmp_path, workers=2)) as cluster:
        yield cluster.url


def test_a_standalone_cluster(small: SmallSet, standalone: str) -> None:
    solver = small.solver(more="snapshot: 10 test_iter: 2 test_interval: 10")
    done = submit(
        small.folder, standalone, "-train", "-conf", solver, "-clusterSize", "2",
        "-model", "m.caffemodel", "-test", "-output", "result", "-connection", "auto",
        spark=("--executor-memory", "900m", "--total-executor-cores", "2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 ranks: 0 on" in done.stdout
    assert "connection: shm (all 2 ranks are on one host)" in done.stdout
    assert re.search(r"^accuracy: [\d.]+$", done.stdout, re.MULTILINE)
    assert (small.folder / "small_iter_20.solverstate").exists()
    assert len(weights(small.folder / "m.caffemodel")) == 4
    logs = [path.read_text() for path in small.folder.glob("work*/app-*/*/stderr")]
    assert len(logs) == 2
    assert all("Creating Layer ip1" in text for text in logs)
