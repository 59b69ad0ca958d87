"""How much faster do two ranks on one machine train than one, and where does the rest go?

    python -m benchmarks.spark_scaling --rounds 5 --iterations 200

LeNet with 64 samples a rank, in one Spark session (local[2]). One rank has its turn in every round,
and two do: over TCP, over shared memory (`auto` on one host), with buckets that go during backward,
and as two devices of one rank; the order is turned round each time. So have one plain process with
the same solver, and two that know nothing of each other: what the machine's cores, caches and
memory give two at most. Prints samples/s (medians over the rounds, of the displays of a run but its
first), the share of communication, and the processor time of an iteration by process: rank, driver,
JVM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from minicaffe.cli.convert.mnist import convert_mnist
from minicaffe.machine.java import use_java
from minicaffe.proto.files import read_net, write_text
from minicaffe.proto.minicaffe_pb2 import SolverParameter

MNIST = Path(__file__).resolve().parent.parent / "examples/mnist"
BATCH = 64
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # for a JVM that only hands out tasks
TICK = os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """What one training gave: a rate, a share, and milliseconds of processor time an iteration."""

    rate: float
    communication: float
    rank_ms: float
    driver_ms: float
    jvm_ms: float


def main() -> None:
    """Train in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders beside single ones")
    parser.add_argument("--process", metavar="SOLVER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    contenders: dict[str, dict[str, Any]] = {
        "1 rank": {},
        "2 ranks": {"clusterSize": 2},
        "2 ranks, -connection auto": {"clusterSize": 2, "connection": "auto"},
        "2 ranks, buckets early": {"clusterSize": 2, "bucket": str(1 << 20)},
        "1 rank, 2 devices": {"devices": 2},
        "1 process": {"processes": 1},
        "2 processes, no communication": {"processes": 2},
    }
    if options.only:
        contenders = {name: words for name, words in contenders.items()
                      if name in ("1 rank", "1 process", *options.only)}  # fmt: skip
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    if options.process:
        return plain_process(options.process)
    with (
        tempfile.TemporaryDirectory() as folder,
        session() as sc,
        plain_processes(Path(folder) / "solver.prototxt") as processes,
    ):
        solver = prepare(Path(folder), options.iterations)
        for number in range(-1, options.rounds):  # the first round warms up
            for name in list(contenders)[:: 1 if number % 2 else -1]:
                words = dict(contenders[name])
                count = words.pop("processes", 0)
                turn = together(processes[:count]) if count else train(sc, solver, words)
                print(name, *(f"{value:.3g}" for value in turn), flush=True)
                if number >= 0:
                    turns[name].append(turn)
    print(table(turns))


@contextlib.contextmanager
def session(java_options: str = QUICK_START) -> Iterator[Any]:
    """A SparkContext with two slots."""
    use_java()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setMaster("local[2]").setAppName("scaling")
    conf.set("spark.driver.extraJavaOptions", java_options)
    conf.set("spark.ui.showConsoleProgress", "false").set("spark.log.level", "OFF")
    sc = SparkContext(conf=conf)
    try:
        yield sc
    finally:
        sc.stop()


def prepare(folder: Path, iterations: int) -> str:
    """MNIST as an LMDB, LeNet without its tests; the solver's path."""
    images, labels = (f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    convert_mnist(MNIST / images, MNIST / labels, folder / "train")
    net = read_net(MNIST / "lenet_memory_train_test.prototxt")
    for layer in net.layer:
        if layer.HasField("memory_data_param"):
            layer.memory_data_param.source = str(folder / "train")
    write_text(folder / "net.prototxt", net)
    solver = SolverParameter(net=str(folder / "net.prototxt"), base_lr=0.01, momentum=0.9,
                             weight_decay=0.0005, lr_policy="fixed", random_seed=1,
                             max_iter=iterations, display=iterations // 4,
                             snapshot_after_train=False)  # fmt: skip
    write_text(folder / "solver.prototxt", solver)
    return str(folder / "solver.prototxt")


def train(sc: Any, solver: str, words: dict[str, Any]) -> Turn:
    """One training with these options."""
    from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource

    conf = Config(sc, {"conf": solver, **words})
    ranks = conf.clusterSize * conf.devices
    jvm = sc._gateway.proc.pid
    before = processor_ms(os.getpid()), processor_ms(jvm), ranks_ms(jvm)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
        training = CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
    after = processor_ms(os.getpid()), processor_ms(jvm), ranks_ms(jvm)
    driver, java, workers = ((b - a) / training.plan.solver.max_iter
                             for a, b in zip(before, after, strict=True))  # fmt: skip
    rows = [row for row in training.metrics.rows if row["phase"] == "train"][1:]
    return Turn(
        rate=statistics.median(row["samples_per_second"] for row in rows),
        communication=statistics.median(row["communication"] for row in rows),
        rank_ms=workers / ranks,
        driver_ms=driver,
        jvm_ms=java,
    )


@contextlib.contextmanager
def plain_processes(solver: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes of `plain_process`, without Spark."""
    command = [sys.executable, "-m", "benchmarks.spark_scaling", "--process", str(solver)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    try:
        yield processes
    finally:
        for process in processes:
            process.communicate()  # no more turns


def together(processes: list[subprocess.Popen[str]]) -> Turn:
    """A turn of these processes at the same time: the sum of their rates."""
    for process in processes:
        assert process.stdin
        process.stdin.write("turn\n")
        process.stdin.flush()
    told = [process.stdout.readline().split() for process in processes if process.stdout]
    rates, spent = zip(*((float(rate), float(ms)) for rate, ms in told), strict=True)
    return Turn(sum(rates), 0.0, statistics.mean(spent), 0.0, 0.0)


def plain_process(path: str) -> None:
    """Train on one thread, `max_iter` iterations for each line that comes; tell rate and ms."""
    from minicaffe import context
    from minicaffe.machine.threads import set_num_threads
    from minicaffe.proto.files import read_solver
    from minicaffe.solver.create import create_solver

    solver = None
    for _ in sys.stdin:
        if solver is None:
            set_num_threads(1)
            context.current().data_seed = 1
            param = read_solver(path)
            iterations, quarter = param.max_iter, param.display
            solver = create_solver(param)
        rates = []
        spent = time.process_time()
        for _ in range(iterations // quarter):
            began = time.perf_counter()
            solver.step(quarter)
            rates.append(quarter * BATCH / (time.perf_counter() - began))
        spent = time.process_time() - spent
        print(statistics.median(rates[1:]), 1e3 * spent / iterations, flush=True)
    if solver is not None:
        solver.close()


def processor_ms(process: int) -> float:
    """Processor time of a process so far, in milliseconds; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return 1e3 * (int(fields[11]) + int(fields[12])) / TICK


def ranks_ms(jvm: int) -> float:
    """Processor time of the Python workers, with that of those that have ended."""
    total = 0.0
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(place.parent.name))
    below = list(children.get(jvm, []))
    while below:
        process = below.pop()
        below += children.get(process, [])
        total += processor_ms(process)
    return total


def table(turns: dict[str, list[Turn]]) -> str:
    """Medians, and the gain over one rank; over one process, of those without Spark."""
    lines = ["| | samples/s | times one | communication | CPU ms a rank | driver | JVM |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, of_name in turns.items():
        one = "1 process" if "process" in name else "1 rank"
        alone = statistics.median(turn.rate for turn in turns[one])
        middle = Turn(*(statistics.median(column) for column in zip(*of_name, strict=True)))
        lines.append(
            f"| {name} | {middle.rate:.0f} | {middle.rate / alone:.2f} | {middle.communication:.0%}"
            f" | {middle.rank_ms:.2f} | {middle.driver_ms:.2f} | {middle.jvm_ms:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
