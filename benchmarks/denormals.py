"""What denormals cost, and what it saves to take them for 0: python -m benchmarks.denormals

Numbers nearer to 0 than 1.2e-38 take some processors a hundred times as long as others. Kernels
take them for 0 while they run (`kernels/cpu/_compile/lowering.py`). Here two processes take turns,
one with kernels that do and one with kernels that do not, on numbers of both kinds: forward and
backward of some layers, and updates of parameters whose history has faded away. Processor time on
one thread, medians; the last column is the price, on ordinary numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from . import machine

CHECKOUT = Path(__file__).resolve().parent.parent
FADED, ORDINARY = 1e-41, 1.0

XAVIER = 'weight_filler { type: "xavier" }'
PLANES, ROWS = (8, 16, 28, 28), (64, 800)
LAYERS = {
    "Convolution 3 x 3": (
        f"convolution_param {{ num_output: 16 kernel_size: 3 {XAVIER} }}",
        PLANES,
    ),
    "Convolution 5 x 5": (
        f"convolution_param {{ num_output: 16 kernel_size: 5 {XAVIER} }}",
        PLANES,
    ),
    "InnerProduct": (f"inner_product_param {{ num_output: 200 {XAVIER} }}", ROWS),
    "Pooling AVE": ("pooling_param { pool: AVE kernel_size: 2 stride: 2 }", PLANES),
    **dict.fromkeys(("ReLU", "Sigmoid", "LRN", "Softmax", "BatchNorm", "Scale"), ("", PLANES)),
}
SOLVERS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "Adam": "momentum: 0.9 momentum2: 0.999 delta: 1e-8",
}
CASES = [*LAYERS, *SOLVERS]

# A process with kernels of one kind; its answer to a case and the size of its numbers are seconds.
WORKER = """
import json, sys, time
import numpy as np
import minicaffe
from minicaffe.kernels.cpu._compile import jit
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from benchmarks.denormals import LAYERS, SOLVERS

if sys.argv[1] == "keep":
    jit.PartCompiler = jit.InnerCompiler
draw = np.random.default_rng(0)

def numbers(shape, size):
    return (draw.standard_normal(shape) * size).astype(np.float32)

def layer(name):
    settings, shape = LAYERS[name]
    dims = " ".join(f"dim: {dim}" for dim in shape)
    net = Net(parse_text(f'''force_backward: true
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
        layer {{ name: "y" type: "{name.split()[0]}" bottom: "x" top: "y" {settings} }}''',
        pb.NetParameter()), minicaffe.TRAIN)
    x, y = net.blob_dict["x"], net.blob_dict["y"]
    def prepare(size):
        x.data[...] = numbers(x.shape, size)
        y.diff[...] = numbers(y.shape, size)
    def run():
        net.forward_pass()
        net.backward_pass()
    return prepare, run

def solver(kind):
    made = create_solver(parse_text(f'''type: "{kind}" {SOLVERS[kind]} base_lr: 0.01
        lr_policy: "fixed" net_param {{
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 800 }} }} }}
        layer {{ name: "y" type: "InnerProduct" bottom: "x" top: "y"
                 inner_product_param {{ num_output: 500 }} }} }}''', pb.SolverParameter()))
    def prepare(size):
        for history in made.history:
            history.update("cpu")[...] = abs(numbers(history.shape, size))
    def run():
        made.net.clear_param_diffs()
        made.apply_update()
    return prepare, run

made = {name: (solver if name in SOLVERS else layer)(name) for name in [*LAYERS, *SOLVERS]}
for prepare, run in made.values():
    prepare(1)
    run()
print("ready", flush=True)
for line in sys.stdin:
    name, size, turn = json.loads(line)
    prepare, run = made[name]
    prepare(size)
    run()
    count, started = 0, time.process_time()
    while (used := time.process_time() - started) < turn:
        run()
        count += 1
    print(used / count, flush=True)
"""


class Process:
    """A process with kernels of one kind: "flush" or "keep" denormals."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, kind],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "MINICAFFE_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> str:
        """The next line that it says."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended ({self.process.wait()})")
        return line.strip()

    def measure(self, name: str, size: float, turn: float) -> float:
        """Seconds that one run of a case takes on numbers of this size."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([name, size, turn]) + "\n")
        self.process.stdin.flush()
        return float(self.answer())

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.denormals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--turn", type=float, default=0.05, help="seconds of a turn")
    args = parser.parse_args()
    about = machine.describe()
    print(f"{about['processor']}, {about['vectors']}, numba {about['numba']}, {machine.load()}\n")
    flush, keep = Process("flush"), Process("keep")
    try:
        for process in (flush, keep):
            process.answer()
        print("| case | ms, ordinary | denormals kept | denormals as 0 | as 0, ordinary |")
        print("|---|---|---|---|---|")
        for name in CASES:
            _row(name, flush, keep, args.rounds, args.turn)
    finally:
        flush.close()
        keep.close()


def _row(name: str, flush: Process, keep: Process, rounds: int, turn: float) -> None:
    times: dict[tuple[Process, float], list[float]] = {}
    for number in range(rounds):
        turns = [(process, size) for size in (ORDINARY, FADED) for process in (flush, keep)]
        for process, size in turns[:: 1 if number % 2 else -1]:
            times.setdefault((process, size), []).append(process.measure(name, size, turn))
    middle = {key: statistics.median(values) for key, values in times.items()}
    ordinary = middle[keep, ORDINARY]
    kept, flushed = middle[keep, FADED] / ordinary, middle[flush, FADED] / ordinary
    price = statistics.median(
        one / other
        for one, other in zip(times[flush, ORDINARY], times[keep, ORDINARY], strict=True)
    )
    print(
        f"| {name} | {1e3 * ordinary:.3f} | {kept:.1f} x | {flushed:.2f} x | {price:.3f} x |",
        flush=True,
    )


if __name__ == "__main__":
    main()
