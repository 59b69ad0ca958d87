"""The whole nets of the comparison, one file each, written with NetSpec.

Each has `net(batch, deploy)`: with `deploy` the net for inference, "data" to "prob" in phase TEST;
else the net in training, "data" and "label" to the loss in phase TRAIN. All multipliers of rates
and decays are 1, so that every library makes the same update.
"""

from __future__ import annotations

from typing import Any

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.net_spec import NetSpec, layers

L: Any = layers


def start(shape: tuple[int, ...], deploy: bool) -> NetSpec:
    """A net with its inputs."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": list(shape)})
    if not deploy:
        n.label = L.Input(shape={"dim": [shape[0]]})
    return n


def finish(n: NetSpec, name: str, deploy: bool) -> pb.NetParameter:
    """The net of a NetSpec, with its name and its phase."""
    param = n.to_proto()
    param.name = name
    param.state.phase = pb.TEST if deploy else pb.TRAIN
    return param


def end(n: NetSpec, scores: Any, name: str, deploy: bool) -> pb.NetParameter:
    """Probabilities, or the loss, on top of scores; and the net."""
    if deploy:
        n.prob = L.Softmax(scores)
    else:
        n.loss = L.SoftmaxWithLoss(scores, n.label)
    return finish(n, name, deploy)
