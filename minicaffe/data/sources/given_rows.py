"""GivenRows: samples in rows that are in memory, such as a part of a DataFrame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..source import DataSource, Sample
from ..store import Row
from ._columns import columns_of, values_of
from ._pictures import Pictures
from .image_data_frame import picture_sample

_first: ContextVar[Sequence[Row]] = ContextVar("rows for the sources that are opened")


@contextlib.contextmanager
def rows_given(rows: Sequence[Row]) -> Iterator[None]:
    """In a `with` block a GivenRows that a layer opens, in this thread, begins with these rows."""
    token = _first.set(rows)
    try:
        yield
    finally:
        _first.reset(token)


class GivenRows(DataSource):
    """The rows of `given`, as samples; a sample's id is its number.

    They are read as ImageDataFrame reads them, or for a CoSData layer as DataFrameSource does.
    """

    by_name = False  # who has the rows names it as a Python class, see NAME

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self.given: Sequence[Row] = _first.get(())
        self.pictures = Pictures(param)
        self.columns = columns_of(param)

    def __len__(self) -> int:
        return len(self.given)

    def read(self, index: int) -> Sample:
        """The sample of row `index`. Raises DataError."""
        name, row = str(index), self.given[index]
        if self.param.type != "CoSData":
            return picture_sample(self.pictures, name, row)
        return Sample(name, values_of(self.columns, row, self.param.top, f"row {name}"))

    def first_good(self) -> int | None:
        """The first row that can be read."""
        for index in range(len(self)):
            with contextlib.suppress(DataError):
                self.read(index)
                return index
        return None

    def close(self) -> None:
        """Nothing is open."""


NAME = f"{__name__}.{GivenRows.__name__}"  # for source_class
