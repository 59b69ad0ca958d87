"""What does an application cost in processor time before its first iteration, with warm caches?

    python -m benchmarks.spark_startup

Starts the same application twice: a Spark session (local[2]) in which two ranks train LeNet. The
first one fills the cache of compiled kernels where it is empty, the second is measured: processor
seconds of the JVM, the driver and the ranks until the first iteration is told, and those that a
process spends on getting its kernels: its first iteration less its second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .spark_scaling import prepare, processor_ms, ranks_ms, session

MOST, MOST_OF_KERNELS = 8.0, 0.5  # seconds


def application(folder: str) -> None:
    """Train, and print what had been spent when the first iteration was told."""
    with session() as sc:
        from minicaffe.distributed.spark import Config
        from minicaffe.distributed.spark.driver import Training
        from minicaffe.distributed.spark.preflight import plan_training

        conf = Config(sc, {"conf": f"{folder}/solver.prototxt", "clusterSize": 2})
        training = Training(conf, plan_training(conf, validate=False))
        watcher = threading.Thread(target=watch, args=(training, sc._gateway.proc.pid))
        watcher.start()
        training.run()
        watcher.join()


def watch(training: Any, jvm: int) -> None:
    """Wait for the first news of an iteration."""
    while not training.report.latest:
        time.sleep(0.01)
    spent = processor_ms(jvm), processor_ms(os.getpid()), ranks_ms(jvm)
    print("spent", *(f"{each / 1e3:.2f}" for each in spent), flush=True)


def kernels(folder: str) -> None:
    """Print how much longer the first iteration of a process takes than its second."""
    from minicaffe import context
    from minicaffe.machine.threads import set_num_threads
    from minicaffe.proto.files import read_solver
    from minicaffe.solver.create import create_solver

    set_num_threads(1)
    context.current().data_seed = 1
    solver = create_solver(read_solver(f"{folder}/solver.prototxt"))
    seconds = []
    for _ in range(2):
        before = time.process_time()
        solver.step(1)
        seconds.append(time.process_time() - before)
    solver.close()
    print("kernels", f"{seconds[0] - seconds[1]:.2f}", flush=True)


def run(what: str, folder: str) -> list[float]:
    """The numbers that this program prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.spark_startup", "--part", what, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(
        line for line in done.stdout.splitlines() if line.split()[0] in ("spent", "kernels")
    )
    return [float(word) for word in line.split()[1:]]


def main() -> int:
    """Measure the second application; 1 where it spends more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        {"application": application, "kernels": kernels}[options.part[0]](options.part[1])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), 8)
        run("application", folder)
        jvm, driver, ranks = run("application", folder)
        (of_kernels,) = run("kernels", folder)
    print("| processor seconds before the first iteration | |", "|---|---|", sep="\n")
    print(f"| JVM | {jvm:.1f} |", f"| driver | {driver:.1f} |", sep="\n")
    print(f"| two ranks | {ranks:.1f} |", f"| all | {jvm + driver + ranks:.1f} |", sep="\n")
    print(f"| of a rank, kernels from the cache | {of_kernels:.2f} |")
    return int(jvm + driver + ranks > MOST or of_kernels > MOST_OF_KERNELS)


if __name__ == "__main__":
    raise SystemExit(main())
