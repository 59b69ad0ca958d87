"""Where each layer of a net stands in its prototxt: `lenet.prototxt:23`, for errors and tools.

A message of protobuf can hold nothing but its fields, and is copied often. So the places of the
nets that were read last are kept beside them, under a hash of what their layers hold.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import minicaffe_pb2 as pb

NETS = 64  # kept; a program builds a net soon after it has read it
LARGE = 1 << 20  # bytes of a net that holds weights, and is not from a prototxt


class Place(NamedTuple):
    """A layer's lines in a file, from that of its first bracket to that of its last."""

    file: str
    first: int
    last: int

    def __str__(self) -> str:
        """As in errors, where an editor can follow it: "file:line"."""
        return f"{self.file}:{self.first}"


_places: dict[bytes, list[Place | None]] = {}


def keep_places(net: pb.NetParameter, read: Iterable[tuple[str, Place | None]]) -> None:
    """Keep where the layers of an upgraded net stand: `read` has (name, place) as in the file.

    An upgrade puts a layer before the others or melts some into one; their order stays.
    """
    waiting = list(read)
    found: list[Place | None] = []
    for layer in net.layer:
        names = [name for name, _ in waiting]
        at = names.index(layer.name) if layer.name in names else -1
        found.append(waiting[at][1] if at >= 0 else None)
        del waiting[: at + 1]
    key = _key(net)
    _places.pop(key, None)
    _places[key] = found
    while len(_places) > NETS:
        del _places[next(iter(_places))]


def places_of(net: pb.NetParameter) -> list[Place | None]:
    """Where each layer of a net stands, None for what was not read from a file."""
    unknown: list[Place | None] = [None] * len(net.layer)
    if not _places or net.ByteSize() > LARGE:
        return unknown
    return _places.get(_key(net), unknown)


def follow(
    layers: Sequence[pb.LayerParameter],
    places: list[Place | None],
    chosen: Sequence[pb.LayerParameter],
) -> list[Place | None]:
    """The places of those layers that were `chosen` from `layers`, in their order."""
    index, found = 0, list[Place | None]()
    for layer in chosen:
        while index < len(layers) and layers[index] != layer:
            index += 1
        found.append(places[index] if index < len(layers) else None)
        index += 1
    return found


def _key(net: pb.NetParameter) -> bytes:
    stamp = hashlib.sha1(usedforsecurity=False)
    for layer in net.layer:
        stamp.update(layer.SerializePartialToString(deterministic=True))
    return stamp.digest()
