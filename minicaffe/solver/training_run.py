"""What a snapshot knows of its run: the net and the rule, to be compared, and where its data stand.

Compared is what weights and history mean: the trained layers and the solver's type. Rates may be
others in a run that goes on, as in Caffe's own recipes: then they are told.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from ..errors import SnapshotError
from ..layer import layer_class
from ..net.net import Net
from ..net.node import Node
from ..proto import minicaffe_pb2 as pb
from ..proto.reflection import fields, given_fields

log = logging.getLogger("minicaffe.solver")

RATES = (
    "base_lr", "lr_policy", "gamma", "power", "stepsize", "stepvalue", "momentum", "momentum2",
    "rms_decay", "delta", "weight_decay", "regularization_type", "clip_gradients", "iter_size",
)  # fmt: skip
APART = ("include", "exclude", "phase", "param", "blobs", "propagate_down")  # of a layer's fields


def describe_run(rule: str, param: pb.SolverParameter, net: Net) -> pb.TrainingRun:
    """The run of a solver of type `rule`, whose training net this is, as it stands now."""
    run = pb.TrainingRun(net=_trained(net.name, net.nodes))
    run.solver.type = rule
    run.solver.random_seed = param.random_seed
    for name in RATES:
        for descriptor, value in param.ListFields():
            if descriptor.name == name:
                _put(run.solver, name, value)
    for node in net.nodes:
        if node.batches is not None:
            order, chance = node.batches.order, node.batches.draws.seed
            run.data.add(
                layer=node.name, samples=node.batches.position, seed=order.seed, chance=chance
            )
    return run


def check_run(there: pb.TrainingRun, here: pb.TrainingRun, path: str) -> None:
    """Raise SnapshotError where a snapshot is of another net or rule, with what differs.

    Where only rates are others, the log says which.
    """
    if there.solver.type != here.solver.type:
        raise SnapshotError(
            f"{path}: is of a solver of type {there.solver.type}, this one is {here.solver.type}:"
            " its history is of no use here (to begin anew from its weights give them alone)"
        )
    found = _difference_of_nets(there.net, here.net)
    if found:
        raise SnapshotError(
            f"{path}: is of another net: {found} (to begin anew from its weights give them alone)"
        )
    for name in RATES:
        one, other = (_shown(getattr(each.solver, name)) for each in (there, here))
        if one != other:
            log.info("%s was written with %s: %s, from here on it is %s", path, name, one, other)


def move_data(run: pb.TrainingRun, net: Net, rank: int) -> None:
    """Move the data layers of a net, that a run knows, to where they stand there."""
    places = {place.layer: place for place in run.data}
    for node in net.nodes:
        place = places.get(node.name)
        if node.batches is not None and place is not None:
            node.batches.go_on(place.samples, place.seed, None if rank else place.chance)


def _trained(name: str, nodes: Sequence[Node]) -> pb.NetParameter:
    """The layers that are trained or that gradients go through, as far as they matter for both."""
    net = pb.NetParameter(name=name)
    whole = {
        top: node.bottom_names[0]
        for node in nodes
        if node.param.type == "Split"
        for top in node.top_names
    }
    for node in nodes:
        if node.param.type == "Split" or not (node.needs_backward or node.blobs):
            continue
        layer = net.layer.add()
        layer.CopyFrom(node.param)
        for field in APART:
            layer.ClearField(field)
        layer.bottom[:] = [whole.get(bottom, bottom) for bottom in layer.bottom]
        kind = layer_class(layer.type)
        for message, field in list(given_fields(layer, (*kind.reads, *kind.small_files))):
            message.ClearField(field)
        _drop_fillers(layer)
    return net


def _drop_fillers(message: Message) -> None:
    for descriptor, value in message.ListFields():
        field = fields(message.DESCRIPTOR)[descriptor.name]
        if field.message is None or field.repeated:
            continue
        if isinstance(value, pb.FillerParameter):
            message.ClearField(descriptor.name)
        else:
            _drop_fillers(value)


def _difference_of_nets(there: pb.NetParameter, here: pb.NetParameter) -> str:
    """What differs first between two nets, in words; "" for none."""
    mine = {layer.name: layer for layer in here.layer}
    theirs = {layer.name: layer for layer in there.layer}
    for name in theirs:
        if name not in mine:
            return f"it has a layer '{name}', which is not in this one"
    for name, layer in mine.items():
        if name not in theirs:
            return f"it has no layer '{name}'"
        found = _difference(theirs[name], layer)
        if found:
            return f"in its layer '{name}' {found} in this one"
    return ""


def _difference(there: Any, here: Any) -> str:
    """The first field in which two messages of one type differ, with both values; "" for none."""
    for name, field in fields(there.DESCRIPTOR).items():
        one, other = getattr(there, name), getattr(here, name)
        if field.message is None or field.repeated:
            if _shown(one) != _shown(other):
                return f"{name} is {_shown(one)}, {_shown(other)}"
        elif there.HasField(name) or here.HasField(name):
            found = _difference(one, other)
            if found:
                return f"{name}.{found}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, str | float | int | bool):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return f"[{', '.join(' '.join(str(each).split()) for each in value)}]"


def _put(message: Message, name: str, value: Any) -> None:
    if fields(message.DESCRIPTOR)[name].repeated:
        getattr(message, name).extend(value)
    else:
        setattr(message, name, value)
