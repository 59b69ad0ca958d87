"""A net made ready to be looked at: small batches, and made-up data where there is none to read.

A layer whose source cannot be opened is replaced by an Input layer of the shapes that it would
have, and a note says so; with `dummy` all layers that read data are. Shapes that only the data
could tell must be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import Error, NetError
from ..layer import known_types, layer_class, parameter_field
from ..net.graph import filter_net
from ..net.net import Net
from ..net.node import Node
from ..proto import minicaffe_pb2 as pb
from ..proto.places import follow, keep_places, places_of

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass
class Prepared:
    """A net's parameter, and sentences about what was changed in it."""

    param: pb.NetParameter
    notes: list[str] = field(default_factory=list)


def prepare(
    param: pb.NetParameter,
    phase: int,
    batch: int = 0,
    dummy: bool = False,
    shapes: Shapes | None = None,
) -> Prepared:
    """The layers of a phase, with at most `batch` samples (0: as the prototxt says).

    `shapes` are those of blobs of made-up data, by name. Raises NetError, which tells what to give,
    for a shape that is not known, and for a name of no such blob.
    """
    wanted = pb.NetParameter()
    wanted.CopyFrom(param)
    wanted.state.phase = phase  # type: ignore[assignment]
    filtered = filter_net(wanted)
    places = follow(wanted.layer, places_of(param), filtered.layer)
    prepared = Prepared(filtered)
    unused = dict(shapes or {})
    for layer in filtered.layer:
        if reads_data(layer):
            _cut(layer, batch)
            given = {name: unused.pop(name) for name in layer.top if name in unused}
            why = "-dummy" if dummy or given else _fails(layer, phase)
            if why:
                prepared.notes.append(_replace(layer, given, batch, why))
        elif layer.type == "Input":
            _shape_inputs(layer, unused)
    if unused:
        known = [top for layer in filtered.layer if not layer.bottom for top in layer.top]
        raise NetError(
            f"-shape {next(iter(unused))}: no data of the net has that name"
            f" (there are: {', '.join(known) or 'none'})"
        )
    prepared.notes += _cut_inputs(filtered, batch)
    names = (layer.name for layer in filtered.layer)
    keep_places(filtered, zip(names, places, strict=True))
    return prepared


def reads_data(layer: pb.LayerParameter) -> bool:
    """Whether a layer brings in samples from somewhere."""
    feeds = bool(layer.top) and not layer.bottom and layer.type in known_types()
    return feeds and not layer_class(layer.type).needs_no_input


def _parameters(layer: pb.LayerParameter) -> Any:
    return getattr(layer, parameter_field(layer.type) or "data_param")


def _cut(layer: pb.LayerParameter, batch: int) -> None:
    given = _parameters(layer)
    if batch and getattr(given, "batch_size", 0) > batch:
        given.batch_size = batch


def _fails(layer: pb.LayerParameter, phase: int) -> str:
    """Why a layer cannot read its data; "" where it can."""
    alone = pb.NetParameter(layer=[layer])
    del alone.layer[0].include[:], alone.layer[0].exclude[:]
    try:
        Net(alone, phase, device="cpu").close()
    except (Error, OSError) as error:
        return str(error)
    return ""


def _replace(layer: pb.LayerParameter, given: Shapes, batch: int, why: str) -> str:
    """Make an Input layer of one that reads data; the sentence that says so."""
    guessed = dict(zip(layer.top, _guess(layer), strict=False))
    first = next(iter(given.values()), ())[:1]  # the others have as many samples
    shapes = []
    for index, name in enumerate(layer.top):
        shape = given.get(name) or guessed.get(name) or (first if index else None)
        if shape is None:
            size = getattr(_parameters(layer), "batch_size", 0) or batch or 1
            reason = "" if why == "-dummy" else f" ({why})"
            raise NetError(
                f"layer '{layer.name}' ({layer.type}): the shape of '{name}' is known from its data"
                f" only, which is not read{reason}: give it, such as -shape {name}:{size},3,32,32"
            )
        shapes.append(first + shape[1:] if first and name not in given else shape)
    said = ", ".join(f"{name} {shape}" for name, shape in zip(layer.top, shapes, strict=True))
    note = f"layer '{layer.name}' ({layer.type}) is replaced by made-up data: {said}"
    place = (layer.name, list(layer.top), list(layer.include), list(layer.exclude))
    layer.Clear()
    layer.name, layer.type = place[0], "Input"
    layer.top.extend(place[1])
    layer.include.extend(place[2])
    layer.exclude.extend(place[3])
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)
    return note if why == "-dummy" else f"{note} ({why})"


def _guess(layer: pb.LayerParameter) -> list[Shape]:
    """The shapes of the tops that a layer's parameters tell, the first of them at least or none."""
    given, transform = _parameters(layer), layer.transform_param
    batch = getattr(given, "batch_size", 0) or 1
    if layer.type == "CoSData":
        return [_column(top, batch) for top in given.top]
    height = getattr(given, "height", 0) or getattr(given, "new_height", 0)
    width = getattr(given, "width", 0) or getattr(given, "new_width", 0)
    crop = transform.crop_size or getattr(given, "crop_size", 0)
    height, width = crop or height, crop or width
    if not (height and width):
        return []
    grey = transform.force_gray or not getattr(given, "is_color", True)
    one = grey or len(transform.mean_value) == 1
    channels = getattr(given, "channels", 0) or (1 if one else 3)
    return [(batch, channels, height, width), (batch,)]


def _column(top: Any, batch: int) -> Shape:
    """The shape of a top of a CoSData layer."""
    extents = (top.out_channels or top.channels, top.out_height or top.height,
               top.out_width or top.width)  # fmt: skip
    crop = top.transform_param.crop_size
    extents = (extents[0], crop or extents[1], crop or extents[2])[: top.sample_num_axes]
    shape = (batch, *(extent or 1 for extent in extents))
    return (shape[1], shape[0], *shape[2:]) if top.transpose else shape


def _shape_inputs(layer: pb.LayerParameter, unused: dict[str, Shape]) -> None:
    """Give the tops of an Input layer the shapes that the user asks for."""
    given = {name: unused.pop(name) for name in layer.top if name in unused}
    if given:
        old = [tuple(shape.dim) for shape in layer.input_param.shape] or [()]
        old = old * len(layer.top) if len(old) == 1 else old
        del layer.input_param.shape[:]
        for name, shape in zip(layer.top, old, strict=True):
            layer.input_param.shape.add(dim=given.get(name, shape))


def _cut_inputs(net: pb.NetParameter, batch: int) -> Iterable[str]:
    """Cut the batches of pictures that Input layers feed, and of what comes with them."""
    blobs = [
        shape for layer in net.layer if layer.type == "Input" for shape in layer.input_param.shape
    ]
    large = {shape.dim[0] for shape in blobs if len(shape.dim) == 4 and shape.dim[0] > batch > 0}
    for shape in blobs:
        if shape.dim and shape.dim[0] in large:
            shape.dim[0] = batch
    if large:
        yield f"batches of {', '.join(map(str, sorted(large)))} are cut to {batch} (-batch)"


# ---- values -------------------------------------------------------------------------------------


def fill_inputs(net: Net, seed: int = 1) -> None:
    """Fill what a user would fill: labels with numbers of classes, all else with 0 to 1.

    An input whose name begins with `cont` is the marks of sequences: 0 at the first step, then 1.
    """
    rng = np.random.default_rng(seed)
    rows = _rows_named(net)
    for name, blob in zip(net.input_names, net.input_blobs, strict=True):
        if name in rows:
            blob.data[...] = rng.integers(0, rows[name], blob.shape)
        elif name.startswith("cont"):
            blob.data[...] = 1
            blob.data[:1] = 0
        else:
            blob.data[...] = rng.random(blob.shape, np.float32)


def _rows_named(net: Net) -> dict[str, int]:
    """The blobs whose values are labels or indices, and how many there are to choose from."""
    makers = {name: node for node in net.nodes for name in node.top_names}
    found: dict[str, int] = {}
    for node in net.nodes:
        for index, name in enumerate(node.bottom_names):
            rows = node.kind.rows_named(node.layer, index, node.bottoms)
            if not rows and index == node.kind.checked_bottom:
                rows = _classes(node)
            if rows:
                source = _source(name, makers)
                found[source] = min(rows, found.get(source, rows))
    return found


def _classes(node: Node) -> int:
    shape = node.bottoms[0].shape
    return shape[1] if len(shape) > 1 else 2


def _source(name: str, makers: Mapping[str, Node]) -> str:
    """The blob that a blob's values come from, unchanged."""
    while (node := makers[name]).bottom_names and (node.kind.moves or node.kind.shares):
        if node.bottom_names[0] == name:
            break  # in place
        name = node.bottom_names[0]
    return name
