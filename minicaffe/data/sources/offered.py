"""Offered: samples that a program hands over one by one, in place of those of a file."""

from __future__ import annotations

import numpy as np

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..datum import Picture
from ..source import DataSource, Sample, StoredPicture
from ._pictures import Pictures, number_in


class Offered(DataSource):
    """The samples that were put in, each under a number of its own, until they are cleared.

    A StoredPicture is decoded and scaled as Pictures says, when it is read; a Sample is taken as
    it is.
    """

    by_name = False  # who has the samples opens it

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self.pictures = Pictures(param)
        self._samples: dict[int, Sample | StoredPicture] = {}

    def put(self, number: int, sample: Sample | StoredPicture) -> None:
        """Give a sample its number."""
        self._samples[number] = sample

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, index: int) -> Sample:
        """The sample of a number. Raises DataError, with its id, for one that is damaged."""
        sample = self._samples[index]
        if isinstance(sample, Sample):
            return sample
        try:
            label = np.array(number_in(sample.label, "its label"), np.float32)
            return Sample(sample.id, (self._picture(sample), label))
        except DataError as error:
            raise DataError(f"sample {sample.id}: {error}") from error

    def _picture(self, sample: StoredPicture) -> Picture:
        shape = (sample.channels, sample.height, sample.width)
        size = sample.channels * sample.height * sample.width
        if not sample.encoded and size and len(sample.data) == 4 * size:
            values = np.frombuffer(sample.data, np.float32).reshape(*shape[1:], shape[0])
            return self.pictures.scaled(np.ascontiguousarray(values.transpose(2, 0, 1)))
        return self.pictures.picture(bytes(sample.data), sample.encoded, shape)

    def close(self) -> None:
        """Forget the samples."""
        self._samples.clear()
