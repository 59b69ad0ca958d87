"""From the values of a DataFrame's columns to those of the tops of a CoSData layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..datum import AS_STORED, COLOR, GRAY, Picture, decode, resize
from ..store import Row
from ._pictures import number_in, raw_picture

Kind = pb.CoSDataParameter


class Column:
    """How one column is read: its name, the type and the shape that the prototxt gives it.

    `value` makes of a value in the column what the top has of a sample: an image (C, H, W) uint8,
    or float32 numbers of the shape. Raises DataError for a value that is another.
    """

    def __init__(self, top: pb.CoSDataParameter.TopBlob, resize: bool) -> None:
        self.name: str = top.name
        self.kind = top.type
        self.sizes: tuple[int, int, int] = (top.channels, top.height, top.width)
        self.axes: int = top.sample_num_axes
        self.resize = resize

    def value(self, value: Any) -> NDArray[Any]:
        """The value of the top."""
        if value is None:
            raise DataError("there is no value")
        if self.kind in (Kind.STRING, Kind.INT, Kind.FLOAT):
            return self._number(value)
        if self.kind in (Kind.INT_ARRAY, Kind.FLOAT_ARRAY):
            return self._array(value)
        if self.kind == Kind.RAW_IMAGE:
            return self._scaled(raw_picture(_bytes(value), self.sizes))
        if self.kind == Kind.ENCODED_IMAGE:
            return self._scaled(self._decoded(_bytes(value)))
        if not isinstance(value, dict) or not set(value) >= {"image", "height", "width"}:
            raise DataError(f"a struct of image, height and width is expected, not {_said(value)}")
        picture = self._decoded(_bytes(value["image"]))
        size = (value["height"] or 0, value["width"] or 0)
        if all(size) and picture.shape[1:] != size:
            raise DataError(f"an image of {size} is {picture.shape[1:]} when it is decoded")
        return self._scaled(picture)

    def _number(self, value: Any) -> NDArray[np.float32]:
        if isinstance(value, np.ndarray | bytes | dict):
            raise DataError(f"a number is expected, not {_said(value)}")
        number = number_in(str(value), "the value") if not isinstance(value, bool) else value
        if self.kind == Kind.INT and number != int(number):
            raise DataError(f"a whole number is expected, not {value}")
        return np.full([size or 1 for size in self.sizes[: self.axes]], number, np.float32)

    def _array(self, value: Any) -> NDArray[np.float32]:
        shape = self.sizes[: self.axes]
        flat = _flat(value)
        if flat is None or flat.dtype.kind not in "iufb":
            raise DataError(f"an array of numbers is expected, not {_said(value)}")
        if flat.size != np.prod(shape):
            said = " x ".join(map(str, shape))
            raise DataError(f"{flat.size} numbers, the top has {said} for a sample")
        numbers = flat.astype(np.float32).reshape(shape)
        if not np.isfinite(numbers).all():
            raise DataError("one of its numbers is none, or infinite")
        return numbers

    def _decoded(self, data: bytes) -> Picture:
        channels = self.sizes[0]
        return decode(data, channels if channels in (GRAY, COLOR) else AS_STORED)

    def _scaled(self, picture: Picture) -> Picture:
        return resize(picture, *self.sizes[1:]) if self.resize else picture


def columns_of(param: pb.LayerParameter) -> list[Column]:
    """The columns that a CoSData layer reads, one a top."""
    wanted = param.cos_data_param
    return [Column(top, wanted.resize) for top in wanted.top]


def values_of(
    columns: Sequence[Column], row: Row, tops: Iterable[str], place: str
) -> tuple[NDArray[Any], ...]:
    """What the tops have of a row. Raises DataError, with place, column and top."""
    values = []
    for column, top in zip(columns, tops, strict=True):
        try:
            values.append(column.value(row[column.name]))
        except DataError as error:
            where = f"{place}, column '{column.name}' for top '{top}'"
            raise DataError(f"{where}: {error}") from error
    return tuple(values)


def _bytes(value: Any) -> bytes:
    """Bytes, or an array of them, as in Spark's array<tinyint>."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.dtype.itemsize == 1:
        return value.tobytes()
    if not isinstance(value, bytes):
        raise DataError(f"bytes are expected, not {_said(value)}")
    return value


def _flat(value: Any) -> NDArray[Any] | None:
    """The numbers of an array, or of an array of arrays, in a row; None for what is none."""
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype != object:
        return value.reshape(-1)
    parts = [_flat(np.asarray(part)) for part in value]
    known = [part for part in parts if part is not None and part.dtype != object]
    return np.concatenate(known) if len(known) == len(parts) and parts else None


def _said(value: Any) -> str:
    names = {"ndarray": "an array", "dict": "a struct", "str": "text"}
    name = type(value).__name__
    return names.get(name, name)
