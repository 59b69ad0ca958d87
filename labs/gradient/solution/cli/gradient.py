"""Check the gradients of a net by differences: minicaffe gradient -model net.prototxt

Inputs are drawn at random, parameters come from their fillers. For each input and each parameter a
line says how many of its elements get a gradient from backward that is not the slope of what
forward computes. Runs on the device reference, where a pass of a small net takes microseconds.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.cli._commands import Parser

if TYPE_CHECKING:
    from minicaffe.blob import Blob
    from minicaffe.net.net import Net

STEPS = (1e-2, 2e-3)  # the second for where a kink lies nearer than the first
TOLERANCE = 2e-2  # of the slope
SMALL = 1.0  # a slope that is smaller counts as this: rounding does not get smaller with it


def configure(parser: Parser) -> None:
    """The net."""
    parser.flag("model", "the net's prototxt", metavar="FILE")
    parser.flag("seed", "for the inputs (default 0)", type=int, default=0)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """A line for each input and parameter; an error at the end if a gradient is wrong."""
    if not args.model:
        args.error("a model is needed: -model FILE")
    import logging

    from minicaffe import TRAIN
    from minicaffe.errors import NetError
    from minicaffe.net.net import Net
    from minicaffe.proto.files import read_net

    logging.getLogger("minicaffe").setLevel(logging.WARNING)
    param = read_net(args.model)
    param.force_backward = True
    net = Net(param, TRAIN, device="reference")
    rng = np.random.default_rng(args.seed)
    for blob in net.input_blobs:
        blob.data[...] = rng.uniform(-1, 1, blob.shape)
    blobs = dict(zip(net.input_names, net.input_blobs, strict=True))
    blobs |= {f"parameter {n}": blob for n, blob in enumerate(net.flat_params.blobs)}
    faults = 0
    for name, blob in blobs.items():
        wrong = check(net, blob)
        faults += len(wrong)
        where = f": {', '.join(map(str, wrong[:8]))}{' ...' * (len(wrong) > 8)}" if wrong else ""
        print(f"{name:20} {blob.count():6} elements, {len(wrong):4} wrong{where}")
    if faults:
        raise NetError(f"{faults} gradients are not the slopes of what forward computes")


class Objective:
    """The number that is differentiated: a net's outputs, each times a fixed weight, summed.

    The weights differ, so that a gradient that went to the wrong element is seen.
    """

    def __init__(self, net: Net) -> None:
        rng = np.random.default_rng(1)
        self.net = net
        self.weights = [
            rng.uniform(0.5, 1.5, blob.shape).astype(np.float32) for blob in net.output_blobs
        ]

    def value(self) -> float:
        """Run forward; the sum is taken in float64."""
        self.net.forward_pass()
        return sum(
            float(np.vdot(np.float64(weight), np.float64(np.asarray(blob.data))))
            for blob, weight in zip(self.net.output_blobs, self.weights, strict=True)
        )

    def backward(self) -> None:
        """Run forward and backward: then each blob's diff is the gradient by the layers."""
        self.value()
        for blob, weight in zip(self.net.output_blobs, self.weights, strict=True):
            blob.diff[...] = weight
        self.net.clear_param_diffs()
        self.net.backward_pass()


def check(net: Net, blob: Blob) -> list[int]:
    """The elements of a blob whose gradient is wrong, as indices into its flat data, in order.

    `blob` is an input of the net or one of its parameters. An element is wrong if what backward
    puts into the diff is not the slope of `Objective` there. At a kink every slope between that to
    the left and that to the right is right. The blob's data is afterwards what it was before.
    """
    objective = Objective(net)
    objective.backward()
    analytic = np.array(blob.diff, np.float64).ravel()
    data = blob.data[...].reshape(blob.count())
    return [
        index
        for index in range(data.size)
        if not any(agrees(objective, data, index, analytic[index], step) for step in STEPS)
    ]


def agrees(objective: Objective, data: np.ndarray, index: int, slope: float, step: float) -> bool:
    """Whether a slope is that of the objective in an element of `data` (flat), by such a step.

    `data` is afterwards what it was before.
    """
    kept = data[index]
    values = []
    for moved in (kept - step, kept, kept + step):
        data[index] = moved
        values.append(objective.value())
    data[index] = kept
    left, right = (values[1] - values[0]) / step, (values[2] - values[1]) / step
    allowed = TOLERANCE * max(abs(left), abs(right), SMALL)
    return min(left, right) - allowed <= slope <= max(left, right) + allowed
