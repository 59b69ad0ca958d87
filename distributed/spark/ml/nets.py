"""The nets of a solver, fed by a DataFrame in place of what their data layer names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable

from minicaffe.errors import ClusterError
from minicaffe.layer import layer_class
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from minicaffe.proto.text import format_text, parse_text

from .. import portable

FED = ("MemoryData", "Data", "CoSData")  # types of data layers whose place a DataFrame takes


def solver_text(given: str) -> str:
    """A solver with its nets in it, as text, from the text or the path of a prototxt."""
    if is_path(given):
        return format_text(portable.load_solver(given).solver)
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder:
        path = os.path.join(folder, "solver.prototxt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(given)
        return format_text(portable.load_solver(path).solver)


def net_text(given: str) -> str:
    """A net as text, from the text or the path of a prototxt."""
    return format_text(read_net(given)) if is_path(given) else given


def is_path(given: str) -> bool:
    """Whether a prototxt is given by its path: one line, which ends in .prototxt."""
    return given.strip().endswith(".prototxt") and "\n" not in given.strip()


def read_solver(solver: str, net: str) -> pb.SolverParameter:
    """The solver of a text, and in it the net of another text, if there is one."""
    param = parse_text(solver, pb.SolverParameter(), "solver")
    if net:
        for field in ("net_param", "train_net_param", "test_net_param", "test_state"):
            param.ClearField(field)
        param.net_param.CopyFrom(parse_text(net, pb.NetParameter(), "net"))
    return param


def feed(net: pb.NetParameter, phase: int, folder: str, batch: int, encoded: bool | None) -> None:
    """Let a net's data layer of a phase read a store; `batch` above 0 is its batch size.

    The store has the columns of columns.py. Raises ClusterError.
    """
    layer = data_layer(net, phase)
    if layer.type == "CoSData":
        _feed_tops(layer, folder, batch, encoded)
        return
    param = layer.memory_data_param
    if layer.type == "Data":
        param.batch_size = layer.data_param.batch_size
        layer.ClearField("data_param")
        layer.type = "MemoryData"
    layer.source_class = "ImageDataFrame"
    param.source = folder
    del param.dataframe_column_select[:]
    if batch:
        param.batch_size = batch
    if encoded is not None:
        param.image_encoded = encoded


def _feed_tops(layer: pb.LayerParameter, folder: str, batch: int, encoded: bool | None) -> None:
    if encoded is not None:
        raise ClusterError(
            f"encoded is not for layer '{layer.name}' (CoSData): the types of its tops say it"
        )
    param = layer.cos_data_param
    layer.source_class = "DataFrameSource"
    param.source = folder
    if batch:
        param.batch_size = batch
    for top, column in zip(layer.top, param.top, strict=True):
        column.name = top


def batch_size(layer: pb.LayerParameter) -> int:
    """The samples a batch of a data layer; 0 where it does not say."""
    field = {"CoSData": "cos_data_param", "Data": "data_param"}.get(layer.type, "memory_data_param")
    return int(getattr(layer, field).batch_size)


def data_layer(net: pb.NetParameter, phase: int) -> pb.LayerParameter:
    """The layer of a net that brings its samples in, in this phase. Raises ClusterError."""
    for layer in net.layer:
        if layer.type in FED and _is_of(layer, phase):
            many, own = layer.type == "CoSData", len(layer.cos_data_param.top)
            if len(layer.top) != (own if many else 2):
                wanted = f"the {own} of cos_data_param" if many else "two, data and label"
                raise ClusterError(
                    f"layer '{layer.name}' ({layer.type}): as tops {wanted} are expected where a"
                    f" DataFrame feeds it, not {len(layer.top)}"
                )
            return layer
    raise ClusterError(
        f"the net has no layer of type {', '.join(FED[:-1])} or {FED[-1]} in phase"
        f" {pb.Phase.Name(phase)}, whose place a DataFrame could take"
    )


def _is_of(layer: pb.LayerParameter, phase: int) -> bool:
    rules = [rule.phase for rule in layer.include if rule.HasField("phase")]
    against = [rule.phase for rule in layer.exclude if rule.HasField("phase")]
    return phase not in against and (not rules or phase in rules)


def forward_net(solver: pb.SolverParameter) -> pb.NetParameter:
    """The net of phase TEST; where the solver has none with a data layer, that of TRAIN in TEST."""
    try:
        net = portable.test_net(solver)
        data_layer(net, pb.TEST)
    except ClusterError:
        net = portable.train_net(solver)
        net.state.phase = pb.TEST
    for layer in net.layer:
        layer.ClearField("include")
        layer.ClearField("exclude")
    return net


def scores_of(net: pb.NetParameter) -> str:
    """The blob that the first loss looks at, or else the first that nothing takes further."""
    for layer in net.layer:
        if layer_class(layer.type).default_loss_weight and layer.bottom:
            return str(layer.bottom[0])
    taken = {name for layer in net.layer for name in layer.bottom}
    return next(str(name) for layer in net.layer[::-1] for name in layer.top if name not in taken)


def part_for(net: pb.NetParameter, blobs: Iterable[str]) -> pb.NetParameter:
    """The layers that these blobs need, the data layer first. Raises ClusterError.

    A layer that works in place on a blob belongs to it. A CoSData layer keeps only the tops that
    are needed.
    """
    data = data_layer(net, pb.TEST)
    needed = set(blobs)
    tops = list(dict.fromkeys(top for layer in net.layer for top in layer.top))
    for name in blobs:
        if name not in tops:
            raise ClusterError(f"the net has no blob '{name}' (it has: {', '.join(tops)})")
    kept: list[pb.LayerParameter] = []
    for layer in reversed(net.layer):
        if layer is not data and needed.intersection(layer.top):
            needed.update(layer.bottom)
            kept.append(layer)
    part = pb.NetParameter(name=net.name, state=net.state)
    part.layer.append(data)
    part.layer.extend(reversed(kept))
    if data.type == "CoSData":
        columns = zip(data.top, data.cos_data_param.top, strict=True)
        wanted = [(top, column) for top, column in columns if top in needed]
        first = part.layer[0]
        del first.top[:], first.cos_data_param.top[:]
        first.top.extend(top for top, _ in wanted)
        first.cos_data_param.top.extend(column for _, column in wanted)
    return part
