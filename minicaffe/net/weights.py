"""A net's weights: to and from messages and files (.caffemodel), as protobuf or as HDF5.

Both kinds of files are Caffe's, byte for byte readable there, and recognised by their content. A
file is written beside its place and then moved into it, so that it is complete or not there.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from ..blob import Blob
from ..data.hdf5_file import Hdf5File
from ..data.hdf5_writing import writing_hdf5
from ..errors import NetError, SnapshotError, extra
from ..machine.file_system import at_hand
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import array_to_blob_proto, blob_from_proto, shape_matches
from ..proto.files import read_net_binary, write_binary
from .match import Match, match
from .node import Node
from .parameters import FlatParams

log = logging.getLogger("minicaffe.net")

HDF5_PURPOSE = "a snapshot in HDF5 format"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
PROTOBUF_LIMIT = 2**31 - 1  # bytes of one message
M = TypeVar("M", bound=Message)


class TrainedNet(Protocol):
    """What these functions need of a net."""

    name: str
    nodes: list[Node]
    flat_params: FlatParams


def copy_trained(nodes: Sequence[Node], source: pb.NetParameter, origin: str) -> Match:
    """Take the weights of the layers that have the same name; others are left alone.

    `origin` names the file in the log and in errors. Raises SnapshotError when a layer's blobs
    differ in number or shape, or when none fits; the net is then as it was.
    """
    layers = _by_name(nodes)
    pairs: list[tuple[Blob, Any]] = []
    taken: dict[str, None] = {}
    for proto in source.layer:
        if proto.name not in layers:
            log.info("Ignoring source layer %s", proto.name)
            continue
        blobs = layers[proto.name].blobs
        if len(blobs) != len(proto.blobs):
            raise SnapshotError(
                f"{origin}: layer '{proto.name}' holds {len(proto.blobs)} blobs,"
                f" the net's has {len(blobs)}"
            )
        for index, (blob, stored) in enumerate(zip(blobs, proto.blobs, strict=True)):
            values = blob_from_proto(stored)
            if not shape_matches(stored, blob.shape) or values.size != blob.count():
                raise SnapshotError(
                    f"{origin}: blob {index} of layer '{proto.name}' has shape"
                    f" {values.shape}, the net's has {blob.shape}: to learn this layer"
                    " from scratch, give it another name"
                )
            pairs.append((blob, values))
            taken[proto.name] = None
    holders = [proto.name for proto in source.layer if proto.blobs]
    return _copy(pairs, match(origin, nodes, holders, list(taken), len(pairs)))


def _copy(pairs: Sequence[tuple[Blob, Any]], found: Match) -> Match:
    """Copy values into blobs, unless nothing matches; tells what does."""
    found.check()
    for blob, values in pairs:
        blob.data.write("cpu").reshape(-1)[...] = values.reshape(-1)
    return found


def share_trained(nodes: Sequence[Node], others: Sequence[Node]) -> None:
    """Use the parameters of another net's layers of the same name, without copying."""
    layers = _by_name(nodes)
    for other in others:
        if other.name not in layers:
            continue
        mine, theirs = layers[other.name].blobs, other.blobs
        if [blob.shape for blob in mine] != [blob.shape for blob in theirs]:
            raise NetError(f"cannot share the parameters of layer '{other.name}': shapes differ")
        for blob, source in zip(mine, theirs, strict=True):
            blob.share_data(source)


def to_proto(name: str, nodes: Sequence[Node], write_diff: bool) -> pb.NetParameter:
    """A net with its weights (and gradients): what a .caffemodel holds."""
    proto = pb.NetParameter(name=name)
    for node in nodes:
        copy = proto.layer.add()
        copy.CopyFrom(node.param)
        del copy.blobs[:]
        for blob in node.blobs:
            diff = _values(blob, "diff") if write_diff else None
            copy.blobs.append(array_to_blob_proto(_values(blob, "data"), diff))
    return proto


def _values(blob: Blob, what: str) -> NDArray[np.float32]:
    """Data or diff in the blob's shape, which may be another than the one that kernels see."""
    values: NDArray[np.float32] = getattr(blob, what).read("cpu").reshape(blob.shape)
    return values


def _by_name(nodes: Sequence[Node]) -> dict[str, Node]:
    """The layers by name; the first one where several have it, as in Caffe."""
    return {node.name: node for node in reversed(nodes)}


def save_weights(net: TrainedNet, path: str, write_diff: bool = False) -> None:
    """Write a net's weights (and gradients) as a binary NetParameter."""
    write_binary(path, small_enough(to_proto(net.name, net.nodes, write_diff), path))


def save_weights_hdf5(net: TrainedNet, path: str, write_diff: bool = False) -> None:
    """Write a net's weights as HDF5: data/<layer>/<index>, and diff/... with `write_diff`.

    A shared parameter is stored with its owner alone (its gradient with every layer).
    """
    with writing_hdf5(path, SnapshotError, HDF5_PURPOSE) as file:
        _fill_hdf5(file, net, write_diff)


def _fill_hdf5(file: Any, net: TrainedNet, write_diff: bool) -> None:
    groups = {"data": file.create_group("data")}
    if write_diff:
        groups["diff"] = file.create_group("diff")
    for node in net.nodes:
        for what, group in groups.items():
            datasets = group.require_group(node.name)
            for index, blob in enumerate(node.blobs):
                if what == "diff" or _owns(net, blob):
                    datasets[str(index)] = _values(blob, what)


def weights_bytes(net: TrainedNet, path: str, hdf5: bool) -> bytes | memoryview:
    """What a file of a net's weights holds; `path` names it in errors."""
    if not hdf5:
        return small_enough(to_proto(net.name, net.nodes, False), path).SerializeToString()
    content = io.BytesIO()
    with extra("h5py", "hdf5", HDF5_PURPOSE).File(content, "w") as file:
        _fill_hdf5(file, net, False)
    return content.getbuffer()


def stored_bytes(net: TrainedNet) -> int:
    """The bytes of a file of a net's weights, nearly: those of its numbers."""
    return sum(4 * blob.count() for node in net.nodes for blob in node.blobs)


def load_weights(net: TrainedNet, path: str) -> Match:
    """Copy the weights of all layers that a file and a net both have, by name; which these are.

    Raises SnapshotError when the file is not there, is not a weight file, when a layer's blobs
    differ in number or shape, or when none fits; the net is then as it was.
    """
    with at_hand(path, SnapshotError) as here:
        if is_hdf5(here):
            return _load_weights_hdf5(net, here)
        return copy_trained(net.nodes, read_net_binary(here), path)


def _load_weights_hdf5(net: TrainedNet, path: str) -> Match:
    pairs: list[tuple[Blob, Any]] = []
    taken: dict[str, None] = {}
    with reading_hdf5(path) as file:
        if file.names("data") is None:
            raise SnapshotError(f"{path}: an HDF5 file without the group 'data' holds no weights")
        for node in net.nodes:
            blobs, stored = node.blobs, file.names(f"data/{node.name}")
            if stored is None:
                continue
            count = sum(key.isdecimal() for key in stored)
            if count > len(blobs):
                raise SnapshotError(f"{path}: layer '{node.name}' holds {count} blobs, "
                                    f"the net's has {len(blobs)}")  # fmt: skip
            for index, blob in enumerate(blobs):
                dataset = f"data/{node.name}/{index}"
                shape = file.shape(dataset)
                if shape is None:
                    if _owns(net, blob):
                        raise SnapshotError(f"{path}: no dataset {dataset}")
                    continue
                if shape != blob.shape:
                    raise SnapshotError(f"{path}: {dataset} has shape {shape}, "
                                        f"the net's blob {blob.shape}")  # fmt: skip
                pairs.append((blob, file.read_float32(dataset)))
            if blobs:
                taken[node.name] = None
        holders = [name for name in file.names("data") or () if file.names(f"data/{name}")]
    return _copy(pairs, match(path, net.nodes, holders, list(taken), len(pairs)))


def _owns(net: TrainedNet, blob: Blob) -> bool:
    """Whether a layer's parameter is stored with that layer (it does not share another's)."""
    return any(blob is owner for owner in net.flat_params.blobs)


# --- files -----------------------------------------------------------------------------------


def is_hdf5(path: str) -> bool:
    """Whether a file is HDF5, by its first bytes. Raises SnapshotError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError as error:
        raise SnapshotError(f"cannot read {path}: {error.strerror}") from error


def reading_hdf5(path: str) -> Hdf5File:
    """An HDF5 file of a snapshot, open for reading in a `with` statement."""
    return Hdf5File(path, SnapshotError, HDF5_PURPOSE)


def small_enough(message: M, path: str) -> M:
    """The message; SnapshotError if it is larger than protobuf can hold."""
    if message.ByteSize() > PROTOBUF_LIMIT:
        raise SnapshotError(
            f"{path}: cannot be written: {message.ByteSize()} bytes, a protobuf message holds 2 GiB"
            " at most (snapshot_format: HDF5 has no such limit)"
        )
    return message
