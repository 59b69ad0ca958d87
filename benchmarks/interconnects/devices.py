"""The third part: what an iteration costs on each device, beside what its gradients cost on a link.

A device record:

    net, batch, device
    ms              an iteration of training: forward, backward, update; one thread; median.
                    None on an emulated device, whose time says nothing
    instructions    of the emulated device, forward and backward, all threads together; else None
    flops           operations of forward and backward, by definition (minicaffe.net.cost)
    bytes           of the gradients
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minicaffe.machine.threads import set_num_threads
from minicaffe.net.cost import layer_cost
from minicaffe.proto.text import format_text
from minicaffe.solver.solver import Solver

from .crew import Crew, here
from .trainee import MODELS, solver_of

NETS = {"LeNet": 64, "CIFAR-10 quick": 100}
EMULATED = "cuda"
DEVICES = ("reference", "cpu", EMULATED)
TURNS = 5
COUNTED_BATCH = 4


def measure(
    nets: Sequence[str], devices: Sequence[str], say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """The records, while they come."""
    for net in (net for net in nets if net in NETS):
        for device in (device for device in devices if device != EMULATED):
            say(f"{net} on {device}")
            with Crew(sys.executable, here()) as crew:  # libraries have one thread there
                yield crew.call("time_device", net, NETS[net], device)[0]
        if EMULATED in devices:
            say(f"{net} on {EMULATED}, emulated")
            yield emulated(net, NETS[net])


def timed(net: str, batch: int, device: str) -> dict[str, Any]:
    """An iteration on a device of this machine, in a process that does nothing else."""
    set_num_threads(1)
    solver = solver_of(net, batch, device)
    facts = _facts(solver, net, batch, device)
    solver.step(2)
    spent = []
    for _ in range(TURNS):
        began = time.perf_counter()
        solver.step(1)
        spent.append(time.perf_counter() - began)
    solver.close()
    return {**facts, "ms": 1e3 * statistics.median(spent), "instructions": None}


def emulated(net: str, batch: int) -> dict[str, Any]:
    """What the kernels of the device cuda do in a pass forward and one back, counted without a GPU.

    Counted for COUNTED_BATCH images, since that takes long, and given for `batch` in proportion.
    """
    solver = solver_of(net, batch, "cpu")
    facts = _facts(solver, net, batch, EMULATED)
    solver.close()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "net.prototxt").write_text(format_text(MODELS[net].net(COUNTED_BATCH)))
        command = [
            sys.executable,
            "-m",
            "minicaffe",
            EMULATED,
            "profile",
            str(path / "net.prototxt"),
        ]
        done = subprocess.run(
            [*command, "-json", str(path / "counts.json")], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{net} cannot be counted on cuda: {done.stderr.strip()[-500:]}")
        kernels = json.loads((path / "counts.json").read_text())
    instructions = sum(
        kernel["threads"] * sum(kernel["instructions_per_thread"].values()) for kernel in kernels
    )
    return {**facts, "ms": None, "instructions": instructions * batch / COUNTED_BATCH}


def _facts(solver: Solver, net: str, batch: int, device: str) -> dict[str, Any]:
    costs = [layer_cost(solver.net, index) for index in range(len(solver.net.nodes))]
    return {
        "net": net, "batch": batch, "device": device, "bytes": 4 * solver.net.flat_params.count,
        "flops": sum(cost.forward_flops + cost.backward_flops for cost in costs),
    }  # fmt: skip


def cannot_count() -> str:
    """Why nothing can be counted on the emulated device; empty if it can."""
    if importlib.util.find_spec("numba_cuda") is None and importlib.util.find_spec("cuda") is None:
        return "cuda is left out of the devices: pip install 'minicaffe[cuda-emu]'"
    return ""
