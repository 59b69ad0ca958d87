"""Before the ranks start: what Spark alone can read goes into stores, and they in its place."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

from minicaffe.data.source import DataSource, source_class
from minicaffe.data.store import find_index
from minicaffe.errors import ClusterError, DataError, Error
from minicaffe.layer import layer_class, parameter_field
from minicaffe.machine.cache_folder import cache_folder
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.reflection import given_fields

from .config import Config
from .slots import is_local
from .spark_job import reason_of
from .store_writer import digest_of, digest_of_path, write_store


def put_stores(
    conf: Config, used: Iterable[pb.NetParameter], nets: Iterable[pb.NetParameter]
) -> None:
    """Write the frames of the layers of `used`, and lead these layers of `nets` to the stores.

    A store that is there already is used where nothing has changed. Raises ClusterError, in one
    line, DataError from a source.
    """
    folders: dict[bytes, str] = {}
    for layer in _framed(used):
        if _key(layer) not in folders:
            folders[_key(layer)] = _write(conf, layer)
    for layer in _framed(nets):
        if folder := folders.get(_key(layer)):
            message, field = next(given_fields(layer, layer_class(layer.type).reads))
            setattr(message, field, folder)


def _framed(nets: Iterable[pb.NetParameter]) -> Iterator[pb.LayerParameter]:
    """The layers that are fed by a source with a frame, and not by a store yet."""
    for net in nets:
        for layer in net.layer:
            name, path = layer_class(layer.type).fed_by(layer) or ("", "")
            if name and _has_frame(source_class(name)) and not _is_store(path):
                yield layer


def _has_frame(kind: type[DataSource]) -> bool:
    return kind.frame.__func__ is not DataSource.frame.__func__  # type: ignore[attr-defined]


def _is_store(path: str) -> bool:
    try:
        return find_index(path) is not None
    except DataError:  # in a file system that Spark alone can read
        return False


def _key(layer: pb.LayerParameter) -> bytes:
    """What a layer says of its data."""
    param: bytes = _param(layer).SerializeToString(deterministic=True)
    return layer.source_class.encode() + param


def _param(layer: pb.LayerParameter) -> Any:
    return getattr(layer, parameter_field(layer.type) or "")


def _write(conf: Config, layer: pb.LayerParameter) -> str:
    from pyspark.sql import SparkSession

    name, path = layer_class(layer.type).fed_by(layer) or ("", "")
    kind = source_class(name)
    try:
        frame = kind.frame(SparkSession.builder.getOrCreate(), layer)
        digest = digest_of_path(conf.sc, path, *_words(layer))
    except Error:
        raise
    except Exception as error:
        if conf.debug:
            raise
        raise ClusterError(f"layer '{layer.name}': source {path}: {reason_of(error)}") from None
    words = digest_of(kind.__name__, path, *_words(layer))
    folder = posixpath.join(
        store_home(conf), f"{posixpath.basename(path.rstrip('/')) or 'data'}-{words[:8]}"
    )
    return write_store(frame, folder, source_digest=digest, debug=conf.debug)


def _words(layer: pb.LayerParameter) -> list[str]:
    """The texts in what a layer says of its data: what is read, in which format, and selected."""
    given = [value for _, value in _param(layer).ListFields()]
    lists = [[value] if isinstance(value, str) else value for value in given]
    return [word for each in lists if hasattr(each, "__iter__") for word in each
            if isinstance(word, str)]  # fmt: skip


def store_home(conf: Config) -> str:
    """The folder of the stores: -store, or else on one machine the cache, or beside the model."""
    if conf.store:
        return conf.store
    if is_local(conf.sc):
        return str(cache_folder() / "stores")
    if not conf.modelPath:
        raise ClusterError(
            "the data are written into a store, which all machines must see: -store FOLDER"
        )
    folder = posixpath.dirname(conf.modelPath)
    if "://" not in folder:
        folder = os.path.abspath(folder.removeprefix("file:"))
    return posixpath.join(folder, "stores")
