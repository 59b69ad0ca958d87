"""DataFrameSource: the rows of a DataFrame, with a column for each top of a CoSData layer."""

from __future__ import annotations

from typing import Any

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..source import DataSource, Sample
from ._columns import columns_of, values_of
from ._frames import FrameRows, check_columns, frame_of


class DataFrameSource(DataSource):
    """Rows of `cos_data_param.source` with the columns of its tops, as Column reads them.

    A column `id`, if there is one, names the rows and sorts them. Without Spark a Parquet folder is
    read as it is, and a store; a row that has a value which cannot be used is damaged as a whole.
    """

    parallel = True

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        wanted = param.cos_data_param
        if not wanted.source:
            raise DataError(f"layer '{param.name}': cos_data_param.source must be given")
        self.columns = columns_of(param)
        select = [f"`{column.name}`" for column in self.columns]
        self.rows = FrameRows(wanted.source, wanted.dataframe_format, select, self.place())
        check_columns(self.rows.columns, (each.name for each in self.columns), self.place())
        self.groups = self.rows.groups

    @classmethod
    def frame(cls, spark: Any, param: pb.LayerParameter) -> Any:
        """The columns that are read, of what Spark finds at `source`."""
        wanted = param.cos_data_param
        frame = frame_of(spark, wanted.source, wanted.dataframe_format, ())
        names = [top.name for top in wanted.top]
        check_columns(frame.columns, names, f"layer '{param.name}': source {wanted.source}")
        return frame.select(*(name for name in frame.columns if name in (*names, "id")))

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> Sample:
        """Row `index`. Raises DataError, with row, column and top, for one that cannot be used."""
        name, row = self.rows.read(index)
        place = f"row {name} of {self.rows.store.folder}"
        return Sample(name, values_of(self.columns, row, self.param.top, place))

    def close(self) -> None:
        """Let go of the rows in memory."""
        self.rows.close()
