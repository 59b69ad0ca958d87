"""ListedImages: the pictures that a list names, and Caffe's order of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ...random_stream.generator import Generator
from ..image_list import read_image_list, read_picture, resized
from ..source import DataSource, Order, Place, Sample


class ListedImages(DataSource):
    """The pictures that `image_data_param.source` lists; a sample's id is its path in the list."""

    by_name = False  # an ImageData layer opens it
    parallel = True

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        wanted = param.image_data_param
        if not wanted.source:
            raise DataError(f"layer '{param.name}': image_data_param.source must be given, a list")
        self.entries = read_image_list(wanted.source)

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, index: int) -> Sample:
        """Picture and label of line `index`. Raises DataError, with file and line."""
        wanted = self.param.image_data_param
        entry = self.entries[index]
        picture = read_picture(wanted.root_folder + entry.path, entry.place, color=wanted.is_color)
        picture = resized(picture, wanted.new_height, wanted.new_width)
        return Sample(entry.path, (picture, np.array(entry.label, np.float32)))

    def close(self) -> None:
        """Nothing is open between two reads."""


@dataclass(frozen=True)
class ListOrder(Order):
    """The list from its line `skip` on, then again and again from its first.

    With `shuffle`, in the orders in which Caffe's shuffle of that seed leaves the list: once before
    the first pass, and once more, from there, before each other.
    """

    skip: int = 0

    def _place(self, position: int) -> Place:
        epoch, index = divmod(position + self.skip, self.size)
        return Place(epoch, self._shuffles.item(epoch, index) if self.shuffle else index)

    @cached_property
    def _shuffles(self) -> _Shuffles:
        return _Shuffles(self.size, self.seed)


class _Shuffles:
    """One list, shuffled again and again by one generator."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self._start()

    def _start(self) -> None:
        self._rng = Generator(self.seed)
        self._items = list(range(self.size))
        self._shuffled = 0

    def item(self, epoch: int, index: int) -> int:
        """What stands at `index` in pass `epoch`."""
        if self._shuffled > epoch + 1:
            self._start()
        while self._shuffled < epoch + 1:
            self._rng.shuffle(self._items)
            self._shuffled += 1
        return self._items[index]
