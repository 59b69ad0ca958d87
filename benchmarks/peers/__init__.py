"""Who is compared: each contender has a process of its own, and the environment it needs.

A contender's module has two functions:

    describe(peer) -> str                            its versions and settings
    prepare(case, arrays, peer, threads) -> Work     the case made ready, or raises Unsupported

and so a new one is a file here and a line in PEERS.
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage

from ..cases import Arrays


@dataclass(frozen=True)
class Sample:
    """Some calls in a row: seconds a call, and how often the system took the processor away."""

    wall: float
    cpu: float | None  # of all threads; None where another process did the work
    preempted: int


class Work(ABC):
    """A case made ready on a contender; `call` does the work once."""

    call: Callable[[], object]
    note = ""  # a choice that the contender made for this case

    @abstractmethod
    def results(self) -> Arrays:
        """Do the work, from the state as prepared, and return the numbers that it gives."""

    def wait(self) -> None:  # noqa: B027  most contenders are done when a call returns
        """Wait until what was started is done."""

    def run(self, calls: int) -> Sample:
        """Time some calls."""
        call = self.call
        self.wait()
        preempted = getrusage(RUSAGE_SELF).ru_nivcsw
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        self.wait()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Sample(wall / calls, cpu / calls, getrusage(RUSAGE_SELF).ru_nivcsw - preempted)


@dataclass(frozen=True)
class Peer:
    """A contender: the heading of its column, its module, and what must be installed for it."""

    name: str
    module: str
    packages: tuple[str, ...] = ()
    program: str = ""
    tuned: bool = False  # at its best, not as installed
    usual: bool = True  # takes part where --peers says nothing

    def missing(self) -> str:
        """Why it cannot take part; empty if it can."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"{self.name} is left out: no Python package {package}"
        if self.program and shutil.which(self.program) is None:
            return f"{self.name} is left out: no program {self.program} on the PATH"
        return ""


MINICAFFE = Peer("minicaffe", "ours")
UNFUSED = Peer("minicaffe, not fused", "ours", usual=False)
NUMPY = Peer("NumPy", "ours")
PEERS = {
    "minicaffe": MINICAFFE,
    "unfused": UNFUSED,
    "numpy": NUMPY,
    "torch": Peer("torch", "pytorch", ("torch",)),
    "torch-best": Peer("torch, best", "pytorch", ("torch",), tuned=True),
    "onnxruntime": Peer("onnxruntime", "onnx_runtime", ("onnxruntime", "onnx")),
    "caffe": Peer("Caffe", "caffe_binary", program="caffe"),
}
