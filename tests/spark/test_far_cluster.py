"""Everything far away, in executors of a cluster: data, nets, models, snapshots, results."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, submit
from minicaffe.distributed.spark.session import context_of
from minicaffe.machine.file_system import exists, files_in, read_file
from minicaffe.machine.s3_settings import chosen, use_settings
from tests.conftest import CHECKOUT
from tests.far_files import SECRET, hadoops_store
from tests.hdfs_server import hdfs
from tests.spark.test_far_files import digest, move
from tests.spark_cluster import SETTINGS, SmallSet, environment, spark_context

pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, dict[str, str]]]:
    with hadoops_store() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, store: Any) -> Iterator[Any]:
    """Two executors, processes of their own, whose session has the settings of S3."""
    folder = tmp_path_factory.mktemp("worker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_WORKER_DIR", str(folder))
        patch.setenv("MINICAFFE_COPIES", str(folder / "copies"))
        with spark_context("local-cluster[2,1,1024]") as sc:
            for name, value in store[1].items():
                sc._jsc.hadoopConfiguration().set(name, value)
            context_of(sc)
            yield sc
    use_settings(None)


@pytest.fixture(params=["s3a:", "hdfs:"])
def far(request: pytest.FixtureRequest, store: Any, tmp_path: Path) -> Iterator[str]:
    """A folder in each of the far file systems."""
    if request.param == "s3a:":
        yield f"{store[0]}/run"
        return
    pytest.importorskip("hdfs_native", reason="hdfs-native is not installed")
    with hdfs(tmp_path) as url:
        yield f"{url}/run"


def run(sc: Any, solver: str, folder: str) -> tuple[str, list[Any], bytes]:
    """Train and test by the command line, then extract features: weights, features, the test."""
    words = ["-conf", solver, "-model", f"{folder}/m.caffemodel", "-clusterSize", "2"]
    submit.run(sc, Config(sc, [*words, "-train", "-test", "-output", f"{folder}/result"]))
    conf = Config(sc, [*words, "-features", "ip2", "-label", "label"])
    rows = CaffeOnSpark(sc).features(DataSource.getSource(conf, False)).collect()
    return digest(f"{folder}/m.caffemodel"), rows, read_file(f"{folder}/result")


def test_a_far_run_is_a_near_one_bit_for_bit(cluster: Any, small: SmallSet, far: str) -> None:
    solver = move(small, far)
    found = run(cluster, solver, far)
    assert found == run(cluster, str(small.folder / "solver.prototxt"), str(small.folder))
    names = {each.name for each in files_in(far)}
    assert {f"small_iter_{i}.{kind}" for i in (6, 12) for kind in ("caffemodel", "solverstate")} | {
        "m.caffemodel", "m.metrics.csv", "m.training.html", "result",
    } <= names  # fmt: skip
    assert not [name for name in names if name.startswith(".")]
    events = files_in(f"{far}/m.tensorboard")
    with contextlib.suppress(ImportError):
        import tensorboardX  # noqa: F401

        assert len(events) == 1 and events[0].size > 100
    conf = Config(cluster, ["-conf", solver, "-model", f"{far}/n.caffemodel", "-clusterSize", "1",
                            "-snapshot", f"{far}/small_iter_6.solverstate"])  # fmt: skip
    CaffeOnSpark(cluster).train(DataSource.getSource(conf, True))
    assert exists(f"{far}/n.caffemodel")


def test_secrets_stand_in_no_log_file_or_process_list(
    small: SmallSet, store: Any, tmp_path: Path
) -> None:
    """They are in a properties file, which this user alone reads."""
    url, settings = store
    use_settings(lambda: chosen(settings))
    move(small, f"{url}/secret")
    use_settings(None)
    work = tmp_path / "work"
    for name in ("work", "work/events", "work/local", "work/tmp"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "s3.conf"
    given = {f"spark.hadoop.{name}": value for name, value in settings.items()} | {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file:{work}/events",
        "spark.local.dir": str(work / "local"),
        "spark.log.level": "INFO",
        "spark.driver.extraJavaOptions": SETTINGS["spark.driver.extraJavaOptions"],
        "spark.ui.enabled": "false",
    }
    secret.write_text("".join(f"{name} {value}\n" for name, value in given.items()))
    env = environment(work) | {"PYTHONPATH": str(CHECKOUT), "TMPDIR": str(work / "tmp"),
                               "MINICAFFE_COPIES": str(work / "copies")}  # fmt: skip
    line = [f"{env['SPARK_HOME']}/bin/spark-submit", "--master", "local-cluster[2,1,1024]",
            "--properties-file", str(secret), str(CHECKOUT / "minicaffe_submit.py"),
            "-train", "-conf", f"{url}/secret/solver.prototxt", "-clusterSize", "2", "-debug",
            "-model", f"{url}/secret/m.caffemodel", "-test",
            "-output", f"{url}/secret/out"]  # fmt: skip
    seen: set[str] = set()
    with subprocess.Popen(line, cwd=work, env=env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as job:  # fmt: skip
        ended = threading.Event()
        watcher = threading.Thread(target=watch_processes, args=(seen, ended))
        watcher.start()
        said, _ = job.communicate(timeout=300)
        ended.set()
        watcher.join()
    assert job.returncode == 0, said[-3000:]
    assert any("pyspark.daemon" in line for line in seen)  # executors were there
    assert not [line for line in seen if SECRET in line]
    assert SECRET not in said
    files = [path for path in work.rglob("*") if path.is_file()]
    assert any(path.name == "stderr" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def watch_processes(seen: set[str], ended: threading.Event) -> None:
    """Collect the command lines of all processes until the end."""
    while not ended.wait(0.05):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                seen.add(Path("/proc", name, "cmdline").read_bytes().decode(errors="replace"))
