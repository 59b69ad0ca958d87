"""Spark for tests: sessions, and a small data set with a net that learns it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from minicaffe.data.database import create_database
from minicaffe.machine.java import find_java, use_java
from minicaffe.proto import minicaffe_pb2 as pb
from tests.spark_hosts import Hosts, parent_of

SETTINGS = {
    # The JVM only schedules here: a quick start is worth more than its peak speed.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
}


@contextmanager
def spark_context(master: str, **settings: str) -> Iterator[Any]:
    """A SparkContext for the length of a `with` block; settings with _ for the dots.

    Executors, wherever they are, run the Python of the tests.
    """
    from pyspark import SparkConf, SparkContext

    use_java()
    conf = SparkConf().setMaster(master).setAppName("minicaffe tests")
    given = {name.replace("_", "."): value for name, value in settings.items()}
    conf.setAll(list((SETTINGS | {"spark.ui.enabled": "false"} | given).items()))
    with mock.patch.dict(os.environ, PYSPARK_PYTHON=sys.executable):
        sc = SparkContext(conf=conf)
    try:
        yield sc
    finally:
        sc.stop()


def environment(folder: Path) -> dict[str, str]:
    """For processes of Spark that are started by hand, which leave their files in a folder."""
    import pyspark

    return os.environ | {
        "JAVA_HOME": str(find_java().home),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": SETTINGS["spark.driver.extraJavaOptions"],
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


class Standalone:
    """A Master and Workers of one core each; `url` is the master's. To be closed.

    With `hosts` the Workers are on these, one on each.
    """

    def __init__(self, folder: Path, workers: int, hosts: Hosts | None = None) -> None:
        self.folder = folder
        self._hosts = hosts
        self._log = (folder / "cluster.log").open("w")
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        host = hosts.address if hosts else "127.0.0.1"
        self._start("master.Master", host, "--port", "0")
        [self.url] = self._wait_for(r"Starting Spark master at (spark://\S+)", 1)
        for _ in range(workers):
            self.add_worker()
        self._wait_for("Successfully registered with master", workers)

    def add_worker(self) -> None:
        """Start a Worker; it registers when it is there."""
        index = len(self.workers)
        folder = str(self.folder / f"work{index}")
        host, before = "127.0.0.1", []
        if self._hosts:
            host, before = self._hosts.addresses[index], self._hosts.inside(index)
        self.workers.append(
            self._start("worker.Worker", host, "--cores", "1", "--memory", "1200m", "-d", folder,
                        self.url, before=before)
        )  # fmt: skip

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)
        self._log.close()

    def _start(
        self, name: str, host: str, *args: str, before: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        env = environment(self.folder) | {"SPARK_LOCAL_IP": host}
        command = [*before, f"{env['SPARK_HOME']}/bin/spark-class",
                   f"org.apache.spark.deploy.{name}", "--host", host, "--webui-port", "0",
                   *args]  # fmt: skip
        process = subprocess.Popen(command, env=env, stdout=self._log, stderr=self._log)
        self._processes.append(process)
        return process

    def _wait_for(self, pattern: str, count: int) -> list[str]:
        deadline = time.monotonic() + 200  # a crowded machine
        while time.monotonic() < deadline:
            found = re.findall(pattern, (self.folder / "cluster.log").read_text())
            if len(found) >= count:
                return found
            time.sleep(0.1)
        raise AssertionError((self.folder / "cluster.log").read_text()[-3000:])


def executor_of(worker: int) -> int:
    """The process of a Python worker's executor: the worker is the child of a daemon, its child."""
    return parent_of(parent_of(worker))


NET = """
name: "small"
layer {{ name: "data" type: "MemoryData" top: "data" top: "label" include {{ phase: TRAIN }}
        source_class: "com.yahoo.ml.caffe.LMDB"
        memory_data_param {{ source: "{folder}/train" batch_size: {batch} }}
        transform_param {{ scale: 0.00390625 }} }}
layer {{ name: "data" type: "MemoryData" top: "data" top: "label" include {{ phase: TEST }}
        source_class: "com.yahoo.ml.caffe.LMDB"
        memory_data_param {{ source: "{folder}/test" batch_size: 8 }}
        transform_param {{ scale: 0.00390625 }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param {{ num_output: 12 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }}
{more}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param {{ num_output: {classes} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
        include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""

SOLVER = """
net: "{folder}/net.prototxt" type: "SGD"
base_lr: 0.1 momentum: 0.9 weight_decay: 0.0005 lr_policy: "fixed"
random_seed: 17 display: 5 max_iter: {max_iter} snapshot_prefix: "small"
{more}
"""


LAYER = """
import minicaffe as caffe
from own_numbers import FACTOR
class Times(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top): top[0].data[...] = FACTOR * bottom[0].data
    def backward(self, top, down, bottom): bottom[0].diff[...] = FACTOR * top[0].diff
"""

TIMES = """layer { name: "times" type: "Python" bottom: "ip1" top: "times"
        python_param { module: "own_layer" layer: "Times" } }"""


class SmallSet:
    """50 + 21 pictures of 1 x 6 x 6 in 4 classes, as LMDBs `train` and `test` of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        self.pictures = {name: [self._picture(rng, i % 4) for i in range(count)]
                         for name, count in (("train", 50), ("test", 21))}  # fmt: skip
        for name, pictures in self.pictures.items():
            with create_database(folder / name) as out:
                for i, picture in enumerate(pictures):
                    datum = pb.Datum(channels=1, height=6, width=6, label=i % 4)
                    datum.data = picture.tobytes()
                    out.put(f"{i:08d}".encode(), datum.SerializeToString())

    def python_layer(self, factor: str) -> str:
        """Write a Python layer and a module that it imports beside the nets; the layer for one."""
        (self.folder / "own_layer.py").write_text(LAYER)
        (self.folder / "own_numbers.py").write_text(f"FACTOR = {factor}\n")
        return TIMES

    @staticmethod
    def _picture(rng: np.random.Generator, label: int) -> Any:
        picture = rng.integers(0, 120, (6, 6), np.uint8)
        row, column = divmod(label, 2)
        picture[3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 100
        return picture

    def solver(
        self,
        name: str = "solver",
        *,
        batch: int = 5,
        max_iter: int = 20,
        net: str = "",
        more: str = "",
    ) -> str:
        """Write a net and a solver of this name; the solver's path."""
        text = NET.format(folder=self.folder, batch=batch, classes=4, more=net)
        (self.folder / f"{name}_net.prototxt").write_text(text)
        text = SOLVER.format(folder=self.folder, max_iter=max_iter, more=more)
        text = text.replace("net.prototxt", f"{name}_net.prototxt")
        path = self.folder / f"{name}.prototxt"
        path.write_text(text)
        return str(path)
