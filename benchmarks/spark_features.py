"""How fast are features extracted in Spark, beside what the net itself could do?

    python -m benchmarks.spark_features --rounds 3

LeNet's ip1 (500 values a sample) and labels of MNIST, batches of 64, in one Spark session
(local[2]), one thread a task. The throughput is that between 10,003 and 60,000 samples, so that
what a job costs once (nets, kernels, plans) is left out; it stands beside twice the speed of the
net's forward on one thread with data that is there. Both have their turns in every round. The JVM
has the options that Spark gives it. Beside the throughput stands the processor time of a batch: of
the net's forward alone, of the tasks, of the JVM that takes the rows in.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from minicaffe import TEST
from minicaffe.data.database import create_database, open_database
from minicaffe.machine.threads import set_num_threads
from minicaffe.net.net import Net
from minicaffe.net.weights import save_weights
from minicaffe.proto.files import read_net, write_text

from .spark_scaling import prepare, processor_ms, ranks_ms, session

FEW, ALL, BATCH, SLOTS = 10_003, 60_000, 64, 2


def main() -> None:
    """Measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, session(java_options="") as sc:
        place = Path(folder)
        prepare(place, 1)
        with open_database(place / "train") as read, create_database(place / "few") as write:
            for key, value in islice(read.items(), FEW):
                write.put(key, value)
        net = forward_net(place)
        forward: list[Cost] = []
        extracted: list[Cost] = []
        for number in range(options.rounds + 1):
            few, everything = (extract(sc, place, name) for name in ("few", "train"))
            if number:  # the first round warms up
                forward.append(speed(net))
                more = [b - a for a, b in zip(few, everything, strict=True)]
                extracted.append(Cost(*(BATCH * each / (ALL - FEW) for each in more)))
                print(*(f"{each:.3g}" for each in (*extracted[-1], *forward[-1])), flush=True)
        net.close()
    seconds, tasks, jvm = middle(extracted)
    alone, own, _ = middle(forward)
    print("| features, samples/s | the net's forward, times 2 | share | CPU ms a batch: forward"
          " | tasks | JVM |", "|---|---|---|---|---|---|", sep="\n")  # fmt: skip
    print(f"| {BATCH / seconds:.0f} | {SLOTS * BATCH / alone:.0f} | {alone / seconds / SLOTS:.2f}"
          f" | {own:.2f} | {tasks:.2f} | {jvm:.2f} |")  # fmt: skip


class Cost(NamedTuple):
    """What a batch takes: seconds, and milliseconds of processor time of Python and of the JVM."""

    seconds: float
    python: float
    jvm: float


def middle(costs: list[Cost]) -> Cost:
    """The medians."""
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def forward_net(place: Path) -> Net:
    """LeNet for testing, and its weights as a model."""
    param = read_net(place / "net.prototxt")
    for layer in param.layer:
        if layer.HasField("memory_data_param"):
            layer.memory_data_param.batch_size = BATCH
    write_text(place / "net.prototxt", param)
    param.state.phase = TEST
    net = Net(param, keep=("ip1", "label"))
    save_weights(net, str(place / "model.caffemodel"))
    return net


def speed(net: Net, batches: int = 150) -> Cost:
    """The net's forward alone, on one thread."""
    layer: Any = net.nodes[0].layer
    batch = layer.batches.read(range(BATCH))
    began, spent = time.perf_counter(), time.thread_time()
    for _ in range(batches):
        layer.loaded = batch
        net.forward_pass()
    spent = time.thread_time() - spent
    return Cost((time.perf_counter() - began) / batches, 1e3 * spent / batches, 0.0)


def extract(sc: Any, place: Path, source: str) -> Cost:
    """A feature job over a data set, all batches together."""
    from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource

    text = (place / "net.prototxt").read_text()
    for name in ("train", "few"):
        text = text.replace(f'"{place / name}"', f'"{place / source}"')
    (place / "net.prototxt").write_text(text)
    conf = Config(sc, {"conf": str(place / "solver.prototxt"), "features": "ip1", "label": "label",
                       "model": str(place / "model.caffemodel")})  # fmt: skip
    jvm = sc._gateway.proc.pid
    before = ranks_ms(jvm), processor_ms(jvm)
    began = time.perf_counter()
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
        frame = CaffeOnSpark(sc).features(DataSource.getSource(conf, False))
    seconds = time.perf_counter() - began
    frame.unpersist()
    return Cost(seconds, ranks_ms(jvm) - before[0], processor_ms(jvm) - before[1])


if __name__ == "__main__":
    main()
