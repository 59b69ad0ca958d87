"""What the databases of Datums have in common: a record is a picture and a label."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..database import parse_datum
from ..datum import AS_STORED, COLOR, GRAY, picture_of, resize
from ..source import DataSource, Sample, local_path


class DatumDatabase(DataSource):
    """Datums under keys; the samples are in key order, a sample's id is its key.

    The path is `memory_data_param.source` or `data_param.source`, plain or `file:`. A sample has
    two values: the picture, and the label as float32. An encoded picture is decoded to grey or
    colour as `transform_param.force_gray` and `force_color` say, else as a MemoryData layer's
    `channels` (1 or 3) need it, else as it is stored; `memory_data_param.resize` scales pictures
    to the layer's height x width.
    """

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        source = param.memory_data_param.source or param.data_param.source
        if not source:
            raise DataError(f"layer '{param.name}': source must be given, the database's folder")
        self.path = local_path(source)
        self.channels = AS_STORED
        if param.transform_param.force_color:
            self.channels = COLOR
        elif param.transform_param.force_gray:
            self.channels = GRAY
        elif param.memory_data_param.channels in (GRAY, COLOR):
            self.channels = param.memory_data_param.channels

    @abstractmethod
    def record(self, index: int) -> tuple[bytes, bytes]:
        """Key and value of record `index`."""

    def read(self, index: int) -> Sample:
        """Sample `index`. Raises DataError, with the key, for a damaged one."""
        key, value = self.record(index)
        datum = parse_datum(value, key, self.path)
        try:
            picture = picture_of(datum, self.channels)
        except DataError as error:
            raise DataError(f"the record of key {key!r} in {self.path}: {error}") from error
        wanted = self.param.memory_data_param
        if wanted.resize:
            picture = resize(picture, wanted.height, wanted.width)
        return Sample(key.decode(errors="replace"), (picture, np.array(datum.label, np.float32)))
