"""The DataSource contract: numbered samples; and the door to the classes that fulfil it.

A source knows nothing of ranks, epochs or batches: `Order` says which samples make a batch, and
`Batches` (batches.py) reads them ahead of time.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..door import open_module
from ..errors import DataError
from ..layer import is_file_of
from ..proto import minicaffe_pb2 as pb
from ..proto.reflection import given_fields
from .shuffle import Groups, epoch_words, permutation

ANCESTOR = "com.yahoo.ml.caffe"  # whose names of sources are those of the built-in ones
SOURCES = tuple(
    f"{kind}_param.source"
    for kind in ("data", "memory_data", "image_data", "hdf5_data", "window_data", "cos_data")
)


class Sample(NamedTuple):
    """One sample: its name, and what it has for each top (a (C, H, W) picture, a () label ...)."""

    id: str
    values: tuple[NDArray[Any], ...]


class Samples(NamedTuple):
    """Samples of one shape and type: their names, and an array (rows, ...) a top."""

    ids: list[str]
    values: tuple[NDArray[Any], ...]


class StoredPicture(NamedTuple):
    """A picture as it is kept: a file (JPEG ...) if it is `encoded`, else its values.

    These are bytes, or float32, in the order height, width, channels.
    """

    id: str
    label: str  # a number
    channels: int  # 0, as the next two, where only the file knows
    height: int
    width: int
    encoded: bool
    data: bytes

    @classmethod
    def of(cls, name: str, label: float, picture: NDArray[Any]) -> Self:
        """A picture (C, H, W), uint8 or float32, that is not encoded."""
        pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
        height, width, channels = pixels.shape
        return cls(name, f"{label:.9g}", channels, height, width, False, pixels.tobytes())


class DataSource(ABC):
    """Samples 0 to len - 1, always in the same order, on every rank and in every run.

    An implementer of `class_name` in `sources/class_name.py` defines
        __init__(param, phase)   open what the LayerParameter names; DataError when it is not there
        __len__()                how many samples there are, unreadable ones included
        read(index)              one Sample, at any index, from any one thread at a time; with
                                 `parallel`, from several at once
        close()                  give back files
    and, where it keeps encoded pictures, `stored`; where many samples may be read for little more
    than one, `read_alike`. It says in `by_name` if no `source_class` may name it, for its layer
    opens it itself, and in `groups` how its samples lie, where reading one means to read its group.
    Where Spark alone can read what the layer names, `frame` says how.
    `read` raises DataError for a sample that is damaged, with its name. Such a sample is skipped,
    counted and named in the log; the others keep their numbers, so nothing takes its place.
    """

    by_name: ClassVar[bool] = True
    parallel: ClassVar[bool] = False  # several threads may read at once: it decodes pictures
    groups: Groups | None = None

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        self.param = param
        self.phase = phase

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Sample `index`, 0 <= index < len. Raises DataError."""

    def stored(self, index: int) -> StoredPicture:
        """Sample `index` of a source of labelled pictures, as it is kept. Raises DataError.

        Here it is what `read` gives; a source that keeps encoded pictures gives those.
        """
        name, (picture, label) = self.read(index)
        return StoredPicture.of(name, float(label), picture)

    def read_alike(self, indices: Sequence[int]) -> Samples | None:
        """What `read` gives for these samples, at once; the arrays are the caller's to read alone.

        None, as here, where they have to be looked at one by one: they differ in shape or type, one
        of them is damaged, or it would not be faster.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Close what was opened; closing twice is harmless."""

    @classmethod
    def frame(cls, spark: Any, param: pb.LayerParameter) -> Any:
        """The samples as a DataFrame of a SparkSession, sorted by its column `id` if it has one.

        None, as here, where every rank can read what the layer names. A Spark job writes the frame
        into a store (docs/store.md) before the ranks open the source; the layer's path then is the
        store's folder. Raises DataError.
        """
        return None

    def place(self) -> str:
        """Where it reads, for errors: the layer and the paths that its prototxt gives."""
        paths = [getattr(*each) for each in given_fields(self.param, SOURCES)]
        return f"layer '{self.param.name}', source {', '.join(paths) or type(self).__name__}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A sample's place in a run: which pass over the data, and which sample."""

    epoch: int
    index: int


@dataclass(frozen=True)
class Order:
    """Which samples make batch k of a rank: a pure function of k, the seed and this rank's place.

    Epochs follow each other without a gap: with N samples, position p of the run is sample
    p mod N of epoch p div N, in an order shuffled by (seed, epoch). Of W ranks with batches of B,
    rank r takes positions (k B + j) W + r. So batch k of all ranks together holds the samples
    that a lone rank with batches of W B would have there, each sample comes once an epoch, and no
    rank ever runs out. The order of an epoch is a permutation of all samples; with `groups` that do
    not fit into their window, one of the groups, and then of the samples in each window.
    """

    size: int  # N
    batch: int  # B
    shuffle: bool
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    offset: int = 0  # the position of batch 0, not 0 where a run of other ranks goes on
    groups: Groups | None = None  # in which the samples lie, where they are read by groups

    def position(self, k: int) -> int:
        """Where the batches `k` of all ranks begin: so many samples of the run come before them."""
        return self.offset + k * self.batch * self.world_size

    def places(self, k: int) -> list[Place]:
        """The samples of batch `k`, k >= 0, in order."""
        first = self.position(k) + self.rank
        positions = range(first, first + self.batch * self.world_size, self.world_size)
        return [self._place(position) for position in positions]

    def _place(self, position: int) -> Place:
        epoch, index = divmod(position, self.size)
        if self.shuffle and self.groups is not None:
            index = self.groups.shuffled(index, self.seed, epoch)
        elif self.shuffle:
            index = int(permutation(self.size, *epoch_words(self.seed, epoch))[index])
        return Place(epoch, index)


# --- the door ----------------------------------------------------------------------------------


@cache
def known_sources() -> dict[str, str]:
    """The built-in sources that `source_class` may name: class name -> module."""
    package = importlib.import_module("minicaffe.data.sources")
    found: dict[str, str] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, kind in vars(module).items():
            is_source = isinstance(kind, type) and issubclass(kind, DataSource)
            if is_source and is_file_of(info.name, name) and kind.by_name:
                found[name] = info.name
    return found


def source_class(name: str) -> type[DataSource]:
    """The class that a `source_class` means: its last word names a built-in one.

    `com.yahoo.ml.caffe.LMDB` is `LMDB`; any other dotted name is imported as Python's
    `package.module.Class`. Raises DataError with what there is.
    """
    place, _, word = name.strip().rpartition(".")
    known = known_sources()
    if word in known:
        module = importlib.import_module(f"minicaffe.data.sources.{known[word]}")
    else:
        unknown = f"no data source '{name}' (there are: {', '.join(sorted(known))}"
        if place in ("", ANCESTOR):
            raise DataError(f"{unknown})")
        try:
            module = open_module(place, DataError, f"source_class '{name}'")
        except (ModuleNotFoundError, ValueError) as error:
            raise DataError(f"{unknown}; as a Python module: {error})") from error
    found = getattr(module, word, None)
    if not (isinstance(found, type) and issubclass(found, DataSource)):
        raise DataError(f"source_class '{name}': {module.__name__} has no DataSource '{word}'")
    return found


def open_source(name: str, param: pb.LayerParameter, phase: int) -> DataSource:
    """The source that a layer's `source_class` names, opened for it. Raises DataError."""
    return source_class(name)(param, phase)
