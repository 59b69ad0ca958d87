"""ImageDataFrame: pictures and labels in the rows of a DataFrame."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..datum import Picture
from ..source import DataSource, Sample, StoredPicture
from ..store import Row
from ._frames import FrameRows, check_columns, frame_of
from ._pictures import Pictures, number_in

NEEDED = ("label", "data")
OPTIONAL = ("id", "channels", "height", "width", "encoded")


class ImageDataFrame(DataSource):
    """Rows with a column `label` (a number, or text that says one) and `data` (bytes or numbers).

    Others may be there: `id`, by which the samples are sorted, `channels`, `height` and `width` of
    pictures that are not encoded (else the layer's), and `encoded` (else
    `memory_data_param.image_encoded`). `dataframe_format` (parquet) says in what format Spark reads
    `source`, `dataframe_column_select` which expressions of SQL make these columns. Pictures says
    how the bytes are read. A row that lacks a value it needs is left out. Without Spark a Parquet
    folder is read as it is.
    """

    parallel = True

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        memory = param.memory_data_param
        if not memory.source:
            raise DataError(f"layer '{param.name}': memory_data_param.source must be given")
        self.rows = FrameRows(
            memory.source, memory.dataframe_format, memory.dataframe_column_select, self.place()
        )
        check_columns(self.rows.columns, NEEDED, self.place())
        self.groups = self.rows.groups
        self.pictures = Pictures(param)

    @classmethod
    def frame(cls, spark: Any, param: pb.LayerParameter) -> Any:
        """The columns that are read, of what Spark finds at `source`."""
        memory = param.memory_data_param
        select = list(memory.dataframe_column_select)
        frame = frame_of(spark, memory.source, memory.dataframe_format, select)
        check_columns(frame.columns, NEEDED, f"layer '{param.name}': source {memory.source}")
        return frame.select(*(name for name in frame.columns if name in (*NEEDED, *OPTIONAL)))

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> Sample:
        """Sample `index`. Raises DataError, with its id, for one that cannot be read."""
        with self._named(index) as (name, row):
            return picture_sample(self.pictures, name, row)

    def stored(self, index: int) -> StoredPicture:
        """Sample `index`, as it is. Raises DataError, with its id, for one that cannot be read."""
        with self._named(index) as (name, row):
            return _stored(self.pictures, name, row)

    @contextlib.contextmanager
    def _named(self, index: int) -> Iterator[tuple[str, Row]]:
        """The id and the row of a sample; an error says of which."""
        name, row = self.rows.read(index)
        try:
            yield name, row
        except DataError as error:
            raise DataError(f"sample {name} of {self.rows.store.folder}: {error}") from error

    def close(self) -> None:
        """Let go of the rows in memory."""
        self.rows.close()


def picture_sample(pictures: Pictures, name: str, row: Row) -> Sample:
    """The picture (C, H, W) and the label () of a row, as a layer wants them. Raises DataError.

    Data that are an array of numbers are the picture's values, channel by channel; its shape is
    then the layer's, or (numbers, 1, 1) where the layer has none.
    """
    data = row["data"]
    if isinstance(data, np.ndarray) and data.dtype.kind in "fiub":
        picture = pictures.scaled(_numbers(pictures.wanted, data))
        label = number_in(str(row["label"]), "its label")
    else:
        kept = _stored(pictures, name, row)
        shape = (kept.channels, kept.height, kept.width)
        picture = pictures.picture(kept.data, kept.encoded, shape)
        label = number_in(kept.label, "its label")
    return Sample(name, (picture, np.array(label, np.float32)))


def _numbers(memory: pb.MemoryDataParameter, data: NDArray[Any]) -> Picture:
    shape = (memory.channels, memory.height, memory.width)
    shape = shape if all(shape) else (data.size, 1, 1)
    if data.size != math.prod(shape):
        raise DataError(f"{data.size} numbers for a picture of {' x '.join(map(str, shape))}")
    return data.astype(np.float32).reshape(shape)


def _stored(pictures: Pictures, name: str, row: Row) -> StoredPicture:
    for column in NEEDED:
        if row[column] is None:
            raise DataError(f"it has no {column}")
    data = row["data"].encode() if isinstance(row["data"], str) else row["data"]
    if not isinstance(data, bytes):
        raise DataError(f"its data must be bytes, text or numbers, not {type(data).__name__}")
    channels, height, width = (row.get(word) or 0 for word in ("channels", "height", "width"))
    encoded = row.get("encoded")
    encoded = pictures.wanted.image_encoded if encoded is None else encoded
    return StoredPicture(name, str(row["label"]), channels, height, width, bool(encoded), data)
