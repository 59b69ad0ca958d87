"""What a rank's place is like: versions, room for compiled kernels, memory, data, the way home."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import minicaffe
from minicaffe.data.source import open_source
from minicaffe.errors import ClusterError, Error
from minicaffe.layer import layer_class
from minicaffe.machine.cache_folder import can_be_made, kernel_folder
from minicaffe.machine.free_memory import free_bytes
from minicaffe.proto import minicaffe_pb2 as pb

from ..control import ControlLine

LIBRARIES = ("numpy", "numba", "protobuf")
LEAST_MEMORY = 256 << 20  # bytes, of a Python process with NumPy, Numba and a small net


def versions() -> dict[str, str]:
    """What must be equal on all ranks, so that all compute the same."""
    found = {"python": platform.python_version(), "minicaffe": minicaffe.__version__}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def difference(places: Mapping[str, Mapping[str, str]]) -> str:
    """What differs between places, by their names, in one sentence; "" where nothing does."""
    for name in dict.fromkeys(each for found in places.values() for each in found):
        there = {place: found.get(name, "none") for place, found in places.items()}
        common = Counter(there.values()).most_common(1)[0][0]
        for place, value in there.items():
            if value != common:
                other = next(each for each, its in there.items() if its == common)
                return (
                    f"{place} has {name} {value}, {other} has {common}: ranks with different"
                    " versions do not compute the same (install one version everywhere)"
                )
    return ""


@dataclass(frozen=True)
class Condition:
    """What a task has found where it runs; problems are sentences."""

    host: str
    versions: dict[str, str]
    cache: str  # the folder of compiled kernels
    memory: int | None  # bytes that are free
    problems: dict[str, str] = field(default_factory=dict)  # by subject


def look(
    control: tuple[str, int], run: str, secret: bytes, layers: Sequence[bytes], rows: Iterator[Any]
) -> Iterator[Condition]:
    """The task of a check-up. `layers`: those that read data, as messages."""
    problems = {}
    for rank in rows:
        try:
            ControlLine(control, run, 0, secret, rank, patience=5.0).close()
        except ClusterError as error:
            problems["line"] = f"{socket.gethostname()}: {error}"
    for content in layers:
        try:
            _read_one(pb.LayerParameter.FromString(content))
        except (Error, OSError) as error:
            problems["data"] = f"{socket.gethostname()}: {error}"
    folder = kernel_folder()
    if not can_be_made(folder):
        local = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0]
        folder = kernel_folder() if not local else type(folder)(local)
    yield Condition(socket.gethostname(), versions(), str(folder), free_bytes(), problems)


def _read_one(param: pb.LayerParameter) -> None:
    """Open the source of a layer and read its first sample. Raises DataError."""
    fed_by = layer_class(param.type).fed_by(param)
    if fed_by is None or not fed_by[0]:
        return
    with contextlib.closing(open_source(fed_by[0], param, pb.TRAIN)) as source:
        if len(source) == 0:
            raise Error(f"{source.place()}: holds no samples")
        source.read(0)
