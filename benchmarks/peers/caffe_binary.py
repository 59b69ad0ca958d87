"""The real Caffe, through `caffe time`: its own clock, which measures wall time.

Input layers become DummyData of normal values. Caffe's numbers cannot be read through this door,
and so are not compared. A turn is a process of its own, of which Caffe leaves its start and its
first pass out of account.

OpenBLAS, with which it is mostly built, may not know a newer processor: then it takes the kernels
of one that is twenty years old, and Caffe looks several times slower than it is. So where its own
choice leaves the processor's vectors out, it is told one that does not (OPENBLAS_CORETYPE).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import weakref
from functools import cache
from pathlib import Path

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import format_text

from .. import machine
from ..cases import BACKWARD, FORWARD, FORWARD_BACKWARD, Arrays, Case, Unsupported
from . import Peer, Sample, Work

MILLISECONDS = r"([0-9.eE+-]+) ms"
PER_LAYER = re.compile(rf"\]\s+(\S+)\s+(forward|backward): {MILLISECONDS}")
CORE = re.compile(r"^Core: (\S+)$", re.MULTILINE)
WIDE = ("SkylakeX", "Cooperlake", "SapphireRapids")  # the cores that OpenBLAS knows, best first
CORES = {"AVX-512": WIDE, "AVX2": ("Haswell", "Zen", *WIDE)}


def describe(peer: Peer) -> str:
    """The version, from `caffe --version`, and which core's kernels OpenBLAS has there."""
    lines = _version({}).splitlines()
    version = next((line for line in lines if not CORE.match(line)), "caffe of an unknown version")
    own, told = core_types()
    if not own:
        return version
    words = f"{version}, OpenBLAS for {told or own}"
    return f"{words} (left alone, it takes the kernels of {own})" if told else words


@cache
def core_types() -> tuple[str, str]:
    """The core that OpenBLAS chooses, "" without OpenBLAS; and the one that it is told, or ""."""
    found = CORE.search(_version({"OPENBLAS_VERBOSE": "2"}))
    own = found[1] if found else ""
    able = CORES.get(machine.vectors(), (own,))
    return own, "" if not own or own in able else able[0]


def _version(variables: dict[str, str]) -> str:
    done = subprocess.run(
        ["caffe", "--version"], env=os.environ | variables, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return (done.stderr + done.stdout).strip()


def prepare(case: Case, arrays: Arrays, peer: Peer, threads: int) -> Work:
    """The net as a file."""
    if case.work not in (FORWARD, BACKWARD, FORWARD_BACKWARD):
        raise Unsupported("`caffe time` does not update")
    return CaffeWork(case)


class CaffeWork(Work):
    """A case as calls of `caffe time`."""

    def __init__(self, case: Case) -> None:
        self.work = case.work
        net = case.param()
        self.phase = "TEST" if net.state.phase == pb.TEST else "TRAIN"
        self.inputs = {layer.name for layer in net.layer if layer.type == "Input"}
        for layer in net.layer:
            if layer.type == "Input":
                use_dummy_data(layer)
        folder = tempfile.mkdtemp(prefix="minicaffe-benchmark-")
        weakref.finalize(self, shutil.rmtree, folder)
        self.path = Path(folder) / "net.prototxt"
        self.path.write_text(format_text(net), encoding="utf-8")
        self.call = lambda: self.run(1)

    def results(self) -> Arrays:
        """Nothing: see the head of this file."""
        return {}

    def run(self, calls: int) -> Sample:
        """The mean over `calls` iterations."""
        done = subprocess.run(
            ["caffe", "time", f"--model={self.path}", f"--phase={self.phase}",
             f"--iterations={calls}"],
            env=os.environ | ({"OPENBLAS_CORETYPE": told} if (told := core_types()[1]) else {}),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"caffe time failed: {done.stderr.strip().splitlines()[-1:]}")
        return Sample(1e-3 * milliseconds(done.stderr, self.work, self.inputs), None, 0)


def use_dummy_data(layer: pb.LayerParameter) -> None:
    """Make an Input layer one that fills its top itself: labels with 0, others from N(0, 1)."""
    shape = layer.input_param.shape[0]
    layer.type = "DummyData"
    layer.dummy_data_param.shape.add().CopyFrom(shape)
    filler = layer.dummy_data_param.data_filler.add()
    filler.type = "constant" if layer.top[0] in ("label", "target") else "gaussian"
    if filler.type == "gaussian":
        filler.std = 1
    layer.ClearField("input_param")


def milliseconds(log: str, work: str, inputs: set[str]) -> float:
    """The time of a pass from the log: the sum over the layers, without those that make data."""
    wanted = {FORWARD: {"forward"}, BACKWARD: {"backward"}}.get(work, {"forward", "backward"})
    rows = PER_LAYER.findall(log)
    if not rows:
        raise RuntimeError("no layer's time in the log of caffe time")
    return sum(float(ms) for name, way, ms in rows if way in wanted and name not in inputs)
