"""minicaffe itself, and the NumPy contender: minicaffe on its device "reference".

A third contender, only where it is asked for, is minicaffe without fusion. The kernels of
`reference` are plain NumPy, convolution being im2col and a BLAS product an image, as Caffe does it.
They are also what the numbers of all contenders are checked against.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from minicaffe.blob import Blob
from minicaffe.device import synchronize
from minicaffe.net.fusion import find_groups
from minicaffe.net.net import Net
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

from ..cases import (
    BACKWARD,
    FORWARD,
    FORWARD_BACKWARD,
    TRAIN,
    UPDATE,
    Arrays,
    Case,
    Unsupported,
    learnable,
    solver_param,
    watched,
)  # fmt: skip
from . import NUMPY, UNFUSED, Peer, Work


def describe(peer: Peer) -> str:
    """Versions, threads, and the processor that OpenBLAS has chosen its kernels for."""
    if peer == NUMPY:
        return f"NumPy {np.__version__}, OpenBLAS for {blas_core() or 'an unknown core'}"
    import numba

    from minicaffe import __version__

    return f"minicaffe {__version__}, Numba {numba.__version__}, NumPy {np.__version__}"


def prepare(case: Case, arrays: Arrays, peer: Peer, threads: int) -> Work:
    """The net, its inputs and parameters filled in."""
    work = NetWork(case, arrays, "reference" if peer == NUMPY else "cpu", fuse=peer != UNFUSED)
    if peer == UNFUSED and not find_groups(work.net.nodes, work.net.device):
        raise Unsupported("nothing to fuse")
    return work


def fill(net: Net, arrays: Arrays) -> None:
    """Give a net its inputs, parameters and gradients."""
    for key, values in arrays.items():
        what, name, *index = key.split("/")
        if index:
            blob = net.nodes[net.layer_index(name)].layer.blobs[int(index[0])]
        else:
            blob = net.blob_dict[name]
        array = blob.data if what in ("input", "param") else blob.diff
        array.write("cpu")[...] = values


class NetWork(Work):
    """A case on a net of minicaffe."""

    def __init__(self, case: Case, arrays: Arrays, device: str, fuse: bool = True) -> None:
        self.case, self.arrays = case, arrays
        self.solver: Solver | None = None
        if case.work in (TRAIN, UPDATE):
            param = solver_param(case)
            param.net_param.CopyFrom(case.param())
            self.solver = create_solver(param, device=device, fuse=fuse)
            self.net = self.solver.net
        else:
            self.net = Net(case.param(), device=device, fuse=fuse)
        net = self.net
        types = [layer.type for layer in net.layers]
        self.first = next(i for i, kind in enumerate(types) if kind not in ("Input", "Split"))
        fill(net, arrays)
        if case.work == BACKWARD:
            net.forward_pass()
        self.call = {
            FORWARD: self._forward,
            BACKWARD: self._backward,
            FORWARD_BACKWARD: self._forward_backward,
            TRAIN: self._train,
            UPDATE: self._update,
        }[case.work]
        self.keys = watched(arrays, learnable(case))

    def _forward(self) -> None:
        self.net.forward_pass(self.first)

    def _backward(self) -> None:
        self.net.backward_pass(end=self.first)

    def _forward_backward(self) -> None:
        self.net.clear_param_diffs()
        self.net.forward_pass(self.first)
        self.net.backward_pass(end=self.first)

    def _train(self) -> None:
        assert self.solver is not None
        self.solver.step(1)

    def _update(self) -> None:
        assert self.solver is not None
        self.solver.apply_update()

    def wait(self) -> None:
        """Wait for the device."""
        synchronize(self.net.device)

    def results(self) -> Arrays:
        """Outputs, gradients, or losses and the changes of parameters."""
        net, work = self.net, self.case.work
        if work == FORWARD:
            self.call()
            return {name: net.blob_dict[name].data.copy() for name in net.output_names}
        if work in (TRAIN, UPDATE):
            return self._changes(steps=2 if work == TRAIN else 1)
        net.clear_param_diffs()
        self.call()
        found = {key: self._parameter(key).diff.copy() for key in self.keys}
        if work == BACKWARD:
            for name in net.input_names:
                if name not in ("label", "target"):
                    found[f"input/{name}"] = net.blob_dict[name].diff.copy()
        else:
            found["loss"] = np.array([self._loss()])
        return found

    def _changes(self, steps: int) -> Arrays:
        found: Arrays = {}
        for step in range(steps):
            self.call()
            if self.case.work == TRAIN:
                found[f"loss {step}"] = np.array([self._loss()])
        for key in self.keys:
            found[key] = self._parameter(key).data - self.arrays[key]
        return found

    def _loss(self) -> float:
        net = self.net
        return sum(
            weight * float(net.blob_dict[name].data[...])
            for name, weight in net.blob_loss_weights.items()
            if weight
        )

    def _parameter(self, key: str) -> Blob:
        _, name, index = key.split("/")
        return self.net.nodes[self.net.layer_index(name)].layer.blobs[int(index)]


def blas_core() -> str:
    """The core whose kernels NumPy's OpenBLAS uses here, e.g. "Zen" or "SkylakeX"."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return ""
    paths = {line.split()[-1] for line in maps.read_text().splitlines() if "openblas" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", ""):
                function = getattr(library, f"{prefix}_get_corename{suffix}", None)
                if function is not None:
                    function.restype = ctypes.c_char_p
                    return str(function().decode())
    return ""
