"""PyTorch, eager: as installed, and at its best.

At its best: the memory format, NCHW or channels_last, that is faster for the case (each is tried);
the fused SGD; an allocator that keeps memory instead of giving it back after each call; and on
processors of other makers than Intel an MKL that is told not to mind (environment.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import numpy as np
import torch

from minicaffe.proto import minicaffe_pb2 as pb

from ..cases import (
    BACKWARD,
    FORWARD,
    TRAIN,
    UPDATE,
    Arrays,
    Case,
    Unsupported,
    learnable,
    solver_param,
    watched,
)  # fmt: skip
from . import Peer, Work, graph
from .pytorch_layers import TRANSLATIONS, Operation

Tensors = dict[str, torch.Tensor]

FORMATS = (torch.contiguous_format, torch.channels_last)


def describe(peer: Peer) -> str:
    """Versions, and the instructions that PyTorch's own kernels use."""
    config = torch.__config__.show()
    parts = [torch.backends.cpu.get_cpu_capability()]
    for name, words in (("MKL", "Math Kernel Library Version"), ("oneDNN", "MKL-DNN v")):
        parts += [f"{name} {number}" for number in re.findall(rf"{words} ?([\d.]+)", config)]
    return f"torch {torch.__version__} ({', '.join(parts)})"


def prepare(case: Case, arrays: Arrays, peer: Peer, threads: int) -> Work:
    """The net as PyTorch operations; when tuned, in the faster memory format."""
    torch.set_num_threads(threads)
    if not peer.tuned:
        return TorchWork(case, arrays, torch.contiguous_format, tuned=False)
    if all(values.ndim != 4 for values in arrays.values()) or case.work == UPDATE:
        return TorchWork(case, arrays, torch.contiguous_format, tuned=True)
    seconds = {}
    for memory_format in FORMATS:
        work = TorchWork(case, arrays, memory_format, tuned=True)
        seconds[memory_format] = fastest(work, threads)
        del work
    best = min(FORMATS, key=lambda memory_format: seconds[memory_format])
    work = TorchWork(case, arrays, best, tuned=True)
    work.note = "NCHW" if best is torch.contiguous_format else "channels_last"
    return work


def fastest(work: Work, threads: int) -> float:
    """The seconds of the shortest of some calls, after one to warm up."""
    work.run(1)
    best, until = float("inf"), time.perf_counter() + 0.1
    for _ in range(50):
        sample = work.run(1)
        best = min(best, sample.wall if threads > 1 or sample.cpu is None else sample.cpu)
        if time.perf_counter() > until:
            break
    return best


class TorchWork(Work):
    """A case as a list of PyTorch operations."""

    def __init__(
        self,
        case: Case,
        arrays: Arrays,
        memory_format: torch.memory_format,
        *,
        tuned: bool,
        device: str = "cpu",
    ) -> None:
        self.case, self.arrays, self.format = case, arrays, memory_format
        self.device = torch.device(device)
        self.net = case.param()
        self.training = self.net.state.phase == pb.TRAIN
        self.outputs = graph.outputs(self.net)
        self.weights = {
            layer.top[0]: layer.loss_weight[0] if layer.loss_weight else 1.0
            for layer in self.net.layer
            if layer.type.endswith("Loss")
        }
        self.parameters = self._tensors("param")
        self.inputs = self._tensors("input")
        self.labels = {name: self.inputs[name].long() for name in self.inputs if name == "label"}
        self.inputs.update(self.labels)
        self.keys = learnable(case)
        self.steps = [(step, self._operation(step)) for step in graph.steps(self.net)]
        works: dict[str, Callable[[], None]] = {
            FORWARD: self._forward, BACKWARD: self._backward, TRAIN: self._train,
            UPDATE: self._update,
        }  # fmt: skip
        self.call = works.get(case.work, self._forward_backward)
        if case.work != FORWARD:
            for key in self.keys:
                self._parameter(key).requires_grad_()
        if case.work == BACKWARD:
            self._start_backward()
        if case.work in (TRAIN, UPDATE):
            solver = solver_param(case)
            self.optimizer = torch.optim.SGD(
                [self._parameter(key) for key in self.keys],
                lr=solver.base_lr,
                momentum=solver.momentum,
                weight_decay=solver.weight_decay,
                fused=True if tuned else None,
            )
        if case.work == UPDATE:
            for name, grad in self._tensors("grad").items():
                self.parameters[name].grad = grad

    def _tensors(self, what: str) -> Tensors:
        """Copies of the arrays of a kind, by the rest of their key."""
        found = {}
        for key, values in self.arrays.items():
            kind, _, name = key.partition("/")
            if kind == what:
                tensor = torch.from_numpy(values.copy()).to(self.device)
                if tensor.ndim == 4:
                    tensor = tensor.contiguous(memory_format=self.format)
                found[name] = tensor
        return found

    def _parameter(self, key: str) -> torch.Tensor:
        return self.parameters[key.removeprefix("param/")]

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    # --- the work ----------------------------------------------------------------------------

    def _run(self) -> Tensors:
        """All blobs that are outputs; the others are given up as soon as nobody needs them."""
        blobs = dict(self.inputs)
        for step, operation in self.steps:
            blobs[step.top] = operation(*(blobs[name] for name in step.bottoms))
            for name in step.last_use:
                del blobs[name]
        return blobs

    def _forward(self) -> None:
        with torch.inference_mode():
            self._run()

    def _start_backward(self) -> None:
        """Go forward once, with what backward needs kept for any number of calls."""
        self.wanted = {key: self._parameter(key) for key in self.keys}
        for name, values in self.inputs.items():
            if name not in ("label", "target"):
                self.wanted[f"input/{name}"] = values.requires_grad_()
        blobs = self._run()
        self.tops = [blobs[name] for name in self.outputs]
        diffs = self._tensors("diff")
        self.diffs = [diffs.get(name, torch.ones((), device=self.device)) for name in self.outputs]

    def _backward(self) -> None:
        self.gradients = torch.autograd.grad(
            self.tops, list(self.wanted.values()), self.diffs, retain_graph=True
        )

    def _loss(self) -> torch.Tensor:
        blobs = self._run()
        none = torch.zeros((), device=self.device)
        return sum((blobs[name] * weight for name, weight in self.weights.items()), none)

    def _forward_backward(self) -> None:
        for key in self.keys:
            self._parameter(key).grad = None
        self.loss = self._loss()
        self.loss.backward()

    def _train(self) -> None:
        self.optimizer.zero_grad()
        self.loss = self._loss()
        self.loss.backward()
        self.optimizer.step()

    def _update(self) -> None:
        self.optimizer.step()

    def results(self) -> Arrays:
        """Outputs, gradients, or losses and the changes of parameters."""
        keys = watched(self.arrays, self.keys)
        if self.case.work == FORWARD:
            with torch.inference_mode():
                blobs = self._run()
            return {name: as_array(blobs[name]) for name in self.outputs}
        if self.case.work == BACKWARD:
            self._backward()
            found = dict(zip(self.wanted, map(as_array, self.gradients), strict=True))
            return {key: found[key] for key in found if key in keys or key.startswith("input/")}
        if self.case.work in (TRAIN, UPDATE):
            return self._changes(keys, steps=2 if self.case.work == TRAIN else 1)
        self.call()
        grads = {key: self._parameter(key).grad for key in keys}
        found = {key: as_array(grad) for key, grad in grads.items() if grad is not None}
        return {**found, "loss": np.array([self.loss.item()])}

    def _changes(self, keys: list[str], steps: int) -> Arrays:
        found: Arrays = {}
        for step in range(steps):
            self.call()
            if self.case.work == TRAIN:
                found[f"loss {step}"] = np.array([self.loss.item()])
        for key in keys:
            found[key] = as_array(self._parameter(key)) - self.arrays[key]
        return found

    # --- translation -------------------------------------------------------------------------

    def _operation(self, step: graph.Step) -> Operation:
        layer = step.layer
        translate = TRANSLATIONS.get(layer.type)
        if translate is None:
            raise Unsupported(f"no translation of {layer.type}")
        parameters = self._of_layer(layer)
        if layer.type == "BatchNorm" and step.scale is not None:
            parameters += self._of_layer(step.scale)
        inplace = bool(layer.bottom) and layer.bottom[0] == layer.top[0]
        return translate(layer, parameters, self.training, inplace)

    def _of_layer(self, layer: pb.LayerParameter) -> list[torch.Tensor]:
        count = len([key for key in self.parameters if key.rpartition("/")[0] == layer.name])
        return [self.parameters[f"{layer.name}/{index}"] for index in range(count)]


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in NCHW order."""
    return np.array(tensor.detach().cpu().numpy(), order="C")
