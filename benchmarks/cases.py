"""What is timed: a net, and what is done with it; and the arrays that all contenders start from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import format_text, parse_text

Arrays = dict[str, NDArray[Any]]

FORWARD = "forward"  # every layer forward
BACKWARD = "backward"  # every layer backward, to the inputs too, after a forward
FORWARD_BACKWARD = "forward-backward"  # with gradients of the parameters
TRAIN = "train"  # one iteration: forward, backward, update
UPDATE = "update"  # the update alone, by gradients that are given

WATCHED_AT_MOST = 4_000_000  # floats of parameters that are compared: all, or some of a larger net


class Unsupported(Exception):
    """A contender cannot do this work; says why."""


@dataclass(frozen=True)
class Case:
    """One line of a table: a net as prototxt text (its state tells the phase) and the work.

    Inputs named "label" are whole numbers below `classes`, named "target" 0 or 1; all others are
    drawn from N(0, 1).
    """

    table: str
    name: str
    net: str
    work: str
    classes: int = 10

    @property
    def title(self) -> str:
        """How a table calls the line."""
        return f"{self.name}, {self.work}"

    @property
    def drops(self) -> bool:
        """Whether something is drawn at random while it runs."""
        return 'type: "Dropout"' in self.net and self.work != FORWARD

    def without_dropout(self) -> Case:
        """The same work, with nothing random in it: what can be checked."""
        param = self.param()
        for layer in param.layer:
            if layer.type == "Dropout":
                layer.dropout_param.dropout_ratio = 0
        return replace(self, net=format_text(param))

    def param(self) -> pb.NetParameter:
        """The net; `force_backward` where the inputs' gradients belong to the work."""
        param: pb.NetParameter = parse_text(self.net, pb.NetParameter(), self.name)
        param.force_backward = self.work == BACKWARD
        return param


def solver_param(case: Case) -> pb.SolverParameter:
    """SGD with momentum and weight decay, which all contenders use.

    For updates alone rate + momentum = 1: an update leaves itself in place of the gradient, and so
    the next one is of the same size, however often it is called.
    """
    return pb.SolverParameter(
        type="SGD",
        base_lr=0.1 if case.work == UPDATE else 1e-3,
        lr_policy="fixed",
        momentum=0.9,
        weight_decay=5e-4,
        snapshot_after_train=False,
    )


def arrays_of(case: Case) -> Arrays:
    """Inputs, parameters, and gradients that come from above; equal in every run.

    Keys are input/<blob>, param/<layer>/<index>, diff/<blob> (tops that are no losses) and, for
    updates, grad/<layer>/<index>.
    """
    net = Net(case.param(), device="reference")
    found: Arrays = {}
    for name in net.input_names:
        found[f"input/{name}"] = _input(case, name, net.blob_dict[name].shape)
    for node in net.nodes:
        for index, blob in enumerate(node.layer.blobs):
            key = f"param/{node.name}/{index}"
            found[key] = _parameter(node.layer.type, index, blob.shape, key)
            if case.work == UPDATE:
                grad = f"grad/{node.name}/{index}"
                found[grad] = _generator(grad).standard_normal(blob.shape, np.float32)
    if case.work == BACKWARD:
        for name in net.output_names:
            if not net.blob_loss_weights[name]:
                key = f"diff/{name}"
                shape = net.blob_dict[name].shape
                found[key] = _generator(key).standard_normal(shape, np.float32)
    return found


def learnable(case: Case) -> list[str]:
    """Keys of the parameters that the solver changes: all but the statistics of BatchNorm."""
    net = Net(case.param(), device="reference")
    return [
        f"param/{node.name}/{index}"
        for node in net.nodes
        if node.layer.type != "BatchNorm"
        for index in range(len(node.layer.blobs))
    ]


def watched(arrays: Arrays, keys: list[str]) -> list[str]:
    """The parameters that are compared: all, or the first two and the last two of a large net."""
    if sum(arrays[key].size for key in keys) <= WATCHED_AT_MOST:
        return keys
    return [*keys[:2], *keys[-2:]]


def _generator(key: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(key.encode()))


def _input(case: Case, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    generator = _generator(f"{case.name}/{name}")
    if name == "label":
        return generator.integers(case.classes, size=shape).astype(np.float32)
    if name == "target":
        return generator.integers(2, size=shape).astype(np.float32)
    return generator.standard_normal(shape, np.float32)


def _parameter(
    layer_type: str, index: int, shape: tuple[int, ...], key: str
) -> NDArray[np.float32]:
    """Values with which a deep net stays in a sane range."""
    values: NDArray[Any] = _generator(key).standard_normal(shape, np.float32)
    if layer_type == "BatchNorm":  # mean, variance, and what both are to be divided by
        values = (0.1 * values, 0.5 + np.abs(values), np.ones(shape))[index]
    elif layer_type in ("Scale", "PReLU") and index == 0:
        values = 0.5 + 0.1 * values
    elif len(shape) < 2:
        values = 0.1 * values
    else:
        values = values * np.sqrt(2 / np.prod(shape[1:]))  # He et al., 2015
    return values.astype(np.float32)
