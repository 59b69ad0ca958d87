"""PictureRows: pictures and labels in rows that are in memory, such as a part of a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence

from ...proto import minicaffe_pb2 as pb
from ..source import DataSource, Sample
from ..store import Row
from ._pictures import Pictures
from .image_data_frame import picture_sample


class PictureRows(DataSource):
    """The rows of `given`, as samples; a sample's id is its number. See ImageDataFrame."""

    by_name = False  # who has the rows makes it

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self.given: Sequence[Row] = ()
        self.pictures = Pictures(param)

    def __len__(self) -> int:
        return len(self.given)

    def read(self, index: int) -> Sample:
        """The sample of row `index`. Raises DataError."""
        return picture_sample(self.pictures, str(index), self.given[index])

    def close(self) -> None:
        """Nothing is open."""
