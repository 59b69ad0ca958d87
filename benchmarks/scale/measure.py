"""Measure layer times, and on this machine's loopback what the model is checked against.

    python -m benchmarks.scale.measure layers --nets lenet cifar10_quick
    python -m benchmarks.scale.measure links --ranks 2 4
    python -m benchmarks.scale.measure trainings --nets lenet --ranks 1 2 4
    python -m benchmarks.scale.measure hosts --reports report.json ...

`layers` writes tables/NET.json. `links` (allreduces alone) and `trainings` add records to
measured/loopback.json, of the kind that `benchmarks.interconnects` has for test hosts; `hosts`
takes those out of its reports. Ranks are processes with one thread each, on the ring over TCP;
their batch lies in the net's inputs, so no data are read. Medians.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe import context
from minicaffe.distributed.auth import new_secret
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import connect
from minicaffe.distributed.sync import create_sync
from minicaffe.machine.threads import set_num_threads
from minicaffe.net.cost import layer_cost
from minicaffe.proto.minicaffe_pb2 import SolverParameter
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

from .. import machine
from ..allreduce import PipeRendezvous
from ..nets import NETS
from .tables import FOLDER

MODELS = {model.__name__.rpartition(".")[2]: (batch, classes) for model, batch, classes in NETS}
MEASURED = Path(__file__).parent / "measured" / "loopback.json"
PLACE = "loopback"
KILOBYTES = (16, 256, 1024, 4096, 16384, 65536)
WARM_UP = 3
WAYS = {"alone": "", "after": "allreduce:bucket=one", "during": f"allreduce:bucket={1 << 20}"}


def solver_of(net: str, batch: int) -> Solver:
    """SGD with momentum on a net whose inputs hold one random batch."""
    _, classes = MODELS[net]
    model = importlib.import_module(f"benchmarks.models.{net}")
    param = SolverParameter(base_lr=0.001, momentum=0.9, weight_decay=0.0005, lr_policy="fixed",
                            random_seed=1, snapshot_after_train=False)  # fmt: skip
    param.net_param.CopyFrom(model.net(batch))
    solver = create_solver(param)
    chance = np.random.default_rng(1)
    data, label = solver.net.input_blobs
    data.data.write("cpu")[...] = chance.standard_normal(data.shape)
    label.data.write("cpu")[...] = chance.integers(0, classes, label.shape)
    return solver


class Stamps:
    """The moments of an iteration, as the solver comes to them."""

    def __init__(self, solver: Solver) -> None:
        self.moments = [0.0] * len(solver.net.nodes)
        solver.net.callbacks.gradients_ready.append(self._stamp)

    def _stamp(self, index: int) -> None:
        self.moments[index] = time.perf_counter()


def time_layers(solver: Solver, iterations: int) -> dict[str, Any]:
    """Milliseconds of forward and update, and of each layer's backward, in whole passes."""
    net, stamps = solver.net, Stamps(solver)
    forward, backward, update = [], [], []
    for number in range(-WARM_UP, iterations):
        net.clear_param_diffs()
        begin = time.perf_counter()
        net.forward_pass()
        middle = time.perf_counter()
        net.backward_pass()
        end = time.perf_counter()
        solver.apply_update()
        last = time.perf_counter()
        if number >= 0:
            forward.append(middle - begin)
            backward.append(-np.diff([*stamps.moments, middle]))
            update.append(last - end)
    return {
        "forward_ms": _ms(statistics.median(forward)),
        "backward_ms": [_ms(each) for each in np.median(backward, axis=0)],
        "update_ms": _ms(statistics.median(update)),
    }


def time_forward(solver: Solver, iterations: int) -> list[float]:
    """Milliseconds of each layer's forward, one by one; neighbours may run as one otherwise."""
    net = solver.net
    taken = np.zeros((iterations, len(net.nodes)))
    for row in taken:
        for index in range(len(net.nodes)):
            begin = time.perf_counter()
            net.forward_pass(index, index)
            row[index] = time.perf_counter() - begin
    return [_ms(each) for each in np.median(taken, axis=0)]


def _ms(seconds: float) -> float:
    return round(1e3 * float(seconds), 5)


def layers_job(pipe: Connection, rank: int, ranks: int, net: str, iterations: int) -> None:
    """One process that times a net's layers: its layers and their costs, and the times."""
    PipeRendezvous(pipe).allgather("nobody to meet")
    with context.fresh():
        solver = solver_of(net, MODELS[net][0])
        nodes = solver.net.nodes
        costs = [layer_cost(solver.net, index) for index in range(len(nodes))]
        rows = [
            [node.name, node.param.type, [blob.count() for blob in node.blobs],
             cost.forward_flops, cost.backward_flops]
            for node, cost in zip(nodes, costs, strict=True)
        ]  # fmt: skip
        times = time_layers(solver, iterations)
        shares = np.array(time_forward(solver, iterations))
        shares *= times["forward_ms"] / shares.sum()
        times["forward_ms"] = [round(float(each), 5) for each in shares]
        pipe.send((rows, times))


def links_job(pipe: Connection, rank: int, ranks: int, secret: bytes) -> None:
    """A rank of a ring that only reduces: wall and processor seconds of each size."""
    with connect(PipeRendezvous(pipe), rank, ranks, secret=secret) as ring:
        pipe.send([(size << 10, *_reduce(ring, size << 8)) for size in KILOBYTES])


def _reduce(ring: Communicator, count: int) -> tuple[float, float]:
    """Wall and processor seconds of an allreduce; a large array in between leaves no cache warm."""
    array, other = np.zeros(count, np.float32), np.zeros(8 << 20, np.float32)
    wall, processor = [], []
    for _ in range(max(7, min(40, (32 << 20) // count))):
        other += 1
        ring.barrier()
        begin, cpu = time.perf_counter(), time.process_time()
        ring.allreduce(array)
        wall.append(time.perf_counter() - begin)
        processor.append(time.process_time() - cpu)
    return statistics.median(wall), statistics.median(processor)


class Clock:
    """The callback that takes down when iterations end."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_iteration(self, solver: Any, done: Any) -> None:
        """One more."""
        self.moments.append(time.perf_counter())


def training_job(
    pipe: Connection, rank: int, ranks: int, secret: bytes, net: str, ways: dict[str, str],
    iterations: int,
) -> None:  # fmt: skip
    """A rank of trainings: seconds of an iteration by way, then what computing takes."""
    if ranks == 1:
        PipeRendezvous(pipe).allgather("nobody to meet")
    with (
        context.fresh() as here,
        connect(PipeRendezvous(pipe), rank, ranks, secret=secret) as ring,
    ):
        here.solver_rank, here.solver_count = rank, ranks
        solver, medians = solver_of(net, MODELS[net][0]), {}
        for way, text in ways.items():
            sync, clock = create_sync(text, ring) if text else None, Clock()
            solver.callbacks[:] = [each for each in (sync, clock) if each]
            ring.barrier()
            solver.step(iterations + WARM_UP)
            medians[way] = float(np.median(np.diff(clock.moments[WARM_UP - 1 :])))
            if sync:
                sync.close()
        ring.barrier()
        times = time_layers(solver, iterations)
        times["layers"] = [
            {"name": node.name, "type": node.param.type, "backward_ms": backward,
             "parameters": sum(blob.count() for blob in node.blobs)}
            for node, backward in zip(solver.net.nodes, times.pop("backward_ms"), strict=True)
        ]  # fmt: skip
        pipe.send((medians, times))
        solver.close()


def entry(job: Callable[..., None], *arguments: Any) -> None:
    """A process: one thread, nothing on the log."""
    os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112
    set_num_threads(1)
    job(*arguments)


def together(job: Callable[..., None], ranks: int, *arguments: Any) -> list[Any]:
    """What the processes answer; the first exchange with them is an allgather."""
    start = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for rank in range(ranks):
        here, there = start.Pipe()
        child = start.Process(target=entry, args=(job, there, rank, ranks, *arguments), daemon=True)
        child.start()
        there.close()
        pipes.append(here)
        children.append(child)
    first = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send(first)
    answers = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join()
    return answers


def measure_layers(options: argparse.Namespace) -> None:
    """tables/NET.json."""
    for net in options.nets:
        ((rows, times),) = together(layers_job, 1, net, options.iterations)
        print(net, *(f"{np.sum(part):.3f}" for part in times.values()), flush=True)
        kept = {"net": net, "batch": MODELS[net][0], **_where(), **times, "layers": rows}
        FOLDER.mkdir(exist_ok=True)
        text = json.dumps(kept).replace('], ["', '],\n["') + "\n"
        (FOLDER / f"{net}.json").write_text(text, encoding="utf-8")


def measure_links(options: argparse.Namespace) -> None:
    """Allreduces alone."""
    for ranks in options.ranks:
        if ranks > 1:
            of_ranks = together(links_job, ranks, new_secret())
            for rows in zip(*of_ranks, strict=True):
                keep("sums", {"place": PLACE, "ranks": ranks, "bytes": rows[0][0],
                              "contender": "tcp", "ms": _ms(max(row[1] for row in rows)),
                              "cpu_ms": _ms(sum(row[2] for row in rows))})  # fmt: skip


def measure_trainings(options: argparse.Namespace) -> None:
    """Trainings, and layer times with all ranks at work."""
    for net in options.nets:
        for ranks in options.ranks:
            ways = WAYS if ranks > 1 else {"alone": ""}
            arguments = (new_secret(), net, ways, options.iterations)
            of_ranks = together(training_job, ranks, *arguments)
            same = {"net": net, "batch": MODELS[net][0], "hosts": 1, "ranks": ranks}
            times = of_ranks[0][1]
            for way in ways:
                ms = _ms(statistics.mean(medians[way] for medians, _ in of_ranks))
                keep("runs", {**same, "place": PLACE, "way": way, "ms": ms})
                if way == "alone":
                    keep("nets", {**same, **times, "alone_ms": ms})


def keep_hosts(options: argparse.Namespace) -> None:
    """measured/hosts.json: what reports say of TCP on test hosts."""
    kept: dict[str, Any] = {"sums": [], "nets": [], "runs": []}
    for path in options.reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        kept |= {"machine": report["machine"], "load": report["load"]}
        kept["nets"] += report["nets"]
        for kind in ("sums", "runs"):
            there = [each for each in report[kind] if each["place"] != PLACE]
            kept[kind] += [{key: each[key] for key in each if key != "all_ms"} for each in there]
    kept["sums"] = [each for each in kept["sums"] if each["contender"] == "tcp"]
    MEASURED.parent.mkdir(exist_ok=True)
    text = json.dumps(kept).replace("}, {", "},\n{") + "\n"
    MEASURED.with_name("hosts.json").write_text(text, encoding="utf-8")


def keep(kind: str, record: dict[str, Any]) -> None:
    """Add a record to measured/loopback.json."""
    there = MEASURED.is_file()
    content = json.loads(MEASURED.read_text(encoding="utf-8")) if there else {"sums": []}
    content |= {"nets": content.get("nets", []), "runs": content.get("runs", []), **_where()}
    content[kind].append(record)
    print(record, flush=True)
    MEASURED.parent.mkdir(exist_ok=True)
    text = json.dumps(content).replace("}, {", "},\n{") + "\n"
    MEASURED.write_text(text, encoding="utf-8")


def _where() -> dict[str, str]:
    facts = machine.describe()
    return {"machine": f"{facts['processor']}, {facts['cores']} cores, {facts['vectors']}",
            "load": machine.load(), "date": facts["date"]}  # fmt: skip


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {"layers": measure_layers, "links": measure_links, "trainings": measure_trainings,
             "hosts": keep_hosts}  # fmt: skip
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--nets", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--ranks", nargs="+", type=int, default=[2])
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--reports", nargs="+", type=Path, default=[],
                        help="report.json of benchmarks.interconnects")  # fmt: skip
    options = parser.parse_args()
    kinds[options.kind](options)


if __name__ == "__main__":
    main()
