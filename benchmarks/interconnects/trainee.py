"""A rank that trains: one net, and several ways of sending its gradients, one after the other."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np

from benchmarks.cases import TRAIN, Case, arrays_of, solver_param
from benchmarks.models import caffenet, cifar10_quick, lenet
from benchmarks.peers.ours import fill
from minicaffe import context
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.sync import Sync, create_sync
from minicaffe.machine.threads import set_num_threads
from minicaffe.proto.text import format_text
from minicaffe.solver.callbacks import Iteration
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

MODELS = {"LeNet": lenet, "CIFAR-10 quick": cifar10_quick, "CaffeNet": caffenet}
CLASSES = {"LeNet": 10, "CIFAR-10 quick": 10, "CaffeNet": 1000}


class Trainee:
    """One rank's solver on inputs that stay the same, and its ways of averaging gradients."""

    def __init__(
        self,
        net: str,
        batch: int,
        ways: dict[str, tuple[str, str]],
        groups: dict[str, Communicator],
        rank: int,
    ) -> None:
        """`ways`: one of `groups` and what `create_sync` takes, by name; "" is no communication."""
        set_num_threads(1)
        here = context.current()
        here.solver_rank, here.solver_count = rank, next(iter(groups.values())).world_size
        self.solver = solver_of(net, batch)
        self.ways: dict[str, Sync | None] = {}
        for name, (group, text) in ways.items():
            sync = create_sync(text, groups[group]) if text else None
            if sync is not None:
                sync.on_start(self.solver)  # all weights travel: before the links get slow
            self.ways[name] = sync

    def measure(self, way: str, iterations: int) -> dict[str, list[float]]:
        """Milliseconds of each iteration: all of it, waiting for others, in collectives."""
        notes = Notes(self.ways[way])
        syncs = [] if notes.sync is None else [notes.sync]
        self.solver.callbacks[:] = [*syncs, notes]
        self.solver.step(iterations)
        return {"ms": notes.ms, "waited_ms": notes.waited, "collectives_ms": notes.collectives}

    def layers(self, passes: int) -> dict[str, Any]:
        """Milliseconds of the parts of an iteration, medians: forward, each layer's backward (until
        its gradients are complete; neighbours that run as one have it all at the last), update.
        """
        net = self.solver.net
        stamps: list[float] = []
        net.callbacks.gradients_ready.append(lambda index: stamps.append(time.perf_counter()))
        forward, update = [], []
        backward = [[] for _ in net.nodes]  # type: list[list[float]]
        for _ in range(passes):
            net.clear_param_diffs()
            began = time.perf_counter()
            net.forward_pass()
            stamps[:] = [time.perf_counter()]
            forward.append(stamps[0] - began)
            net.backward_pass()
            for index, spent in zip(reversed(range(len(net.nodes))), np.diff(stamps), strict=True):
                backward[index].append(float(spent))
            began = time.perf_counter()
            self.solver.apply_update()
            update.append(time.perf_counter() - began)
        net.callbacks.gradients_ready.pop()
        return {
            "forward_ms": 1e3 * float(np.median(forward)),
            "update_ms": 1e3 * float(np.median(update)),
            "layers": [
                {
                    "name": node.name,
                    "type": node.layer.type,
                    "backward_ms": 1e3 * float(np.median(backward[index])),
                    "parameters": sum(blob.count for blob in node.layer.blobs),
                }
                for index, node in enumerate(net.nodes)
            ],
        }

    def close(self) -> None:
        """End what runs beside the solver."""
        for sync in self.ways.values():
            if sync is not None:
                sync.close()
        with suppress(ValueError):
            self.solver.close()


class Notes:
    """The callback that takes down each iteration's times; it comes last."""

    def __init__(self, sync: Sync | None) -> None:
        self.sync = sync
        self.ms: list[float] = []
        self.waited: list[float] = []
        self.collectives: list[float] = []
        self._before = self._now()

    def on_iteration(self, solver: Solver, done: Iteration) -> None:
        """A line. What the ranks agree on between two iterations belongs to the next one."""
        now = self._now()
        spent = (1e3 * (after - before) for before, after in zip(self._before, now, strict=True))
        self._before = now
        for column, value in zip((self.ms, self.waited, self.collectives), spent, strict=True):
            column.append(value)

    def _now(self) -> tuple[float, float, float]:
        if self.sync is None:
            return time.perf_counter(), 0.0, 0.0
        return time.perf_counter(), self.sync.waited, self.sync.seconds


def solver_of(net: str, batch: int, device: str = "cpu") -> Solver:
    """SGD on a net whose inputs and weights are made up, the same on all ranks."""
    param = MODELS[net].net(batch)
    case = Case("nets", f"{net}, batch {batch}", format_text(param), TRAIN, CLASSES[net])
    solver = solver_param(case)
    solver.net_param.CopyFrom(case.param())
    solver.base_lr = 1e-6  # the same inputs again and again: weights that hardly move stay sane
    made: Solver = create_solver(solver, device=device)
    fill(made.net, arrays_of(case))
    return made
