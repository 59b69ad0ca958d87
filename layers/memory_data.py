"""MemoryData: batches from arrays in memory, or from the source that `source_class` names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.blob import Blob
from minicaffe.data.source import open_source
from minicaffe.data.transformer import DataTransformer, Shape
from minicaffe.proto import minicaffe_pb2 as pb

from ._batched import BatchedLayer


class MemoryDataLayer(BatchedLayer):
    """Data (N, C, H, W) and label (N) from memory, N = `batch_size`.

    `memory_data_param`: `batch_size`, `channels`, `height`, `width`. Without `source_class` the
    layer serves the arrays of `set_input_arrays`, batch after batch, round and round, labels as
    (N, 1, 1, 1); `transform_param` is not applied to them (Caffe). With it (CaffeOnSpark) the
    layer reads that data source itself, from `memory_data_param.source`: shuffled in every epoch in
    phase TRAIN and shared among the ranks, from the first sample to the last in phase TEST,
    transformed as `transform_param` says. channels, height and width may then be left out; where
    they are given, a sample must have them, before or after cropping, and other samples are left
    out of their batch, unless `resize` scales them.

        layer {
          type: "MemoryData" name: "mnist" top: "data" top: "label"
          source_class: "LMDB"
          memory_data_param {
            source: "mnist_train_lmdb" batch_size: 64 channels: 1 height: 28 width: 28
          }
          transform_param { scale: 0.00390625 }
        }
    """

    tops = (2, 2)
    reads = ("memory_data_param.source", "data_param.source")

    @classmethod
    def fed_by(cls, param: pb.LayerParameter) -> tuple[str, str]:
        """What `source_class` names; "" where the batches come from arrays."""
        return param.source_class, param.memory_data_param.source

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Open the source, if there is one; give the tops their shapes."""
        param: pb.MemoryDataParameter = self.param.memory_data_param
        self.batch_size: int = param.batch_size
        self.declared: Shape = (param.channels, param.height, param.width)
        self.arrays: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self.position = 0
        if self.batch_size == 0:
            raise self.error("memory_data_param.batch_size must be given, and be above 0")
        shape = self._open_source() if self.param.source_class else self.declared
        if min(shape) == 0:
            raise self.error("memory_data_param: channels, height and width must be above 0")
        top[0].reshape(self.batch_size, *shape)
        top[1].reshape(self.batch_size)

    def _open_source(self) -> Shape:
        """Open the source for this rank; the shape of a transformed sample."""
        if self.param.memory_data_param.resize and min(self.declared[1:]) == 0:
            raise self.error("resize needs memory_data_param.height and width")
        transformer = DataTransformer(self.param.transform_param, self.phase)
        source = open_source(self.param.source_class, self.param, self.phase)
        self.batches = self.shuffled(source, self.batch_size, [transformer, None])
        sample = self.batches.first()
        shapes = self.batches.output_shapes(sample.values)
        for stored in (sample.values[0].shape, shapes[0]):
            if all(given in (0, dim) for given, dim in zip(self.declared, stored, strict=True)):
                break
        else:
            raise self.error(
                f"memory_data_param gives channels, height, width {self.declared},"
                f" sample {sample.id} of the source has {sample.values[0].shape}"
            )
        self.batches.shapes = shapes
        return shapes[0]

    def set_input_arrays(self, data: NDArray[np.float32], labels: NDArray[np.float32]) -> None:
        """Serve batches from these arrays from now on, from their first row.

        `data` is float32, C-contiguous, (rows, channels, height, width); `labels` float32 with one
        value a row; rows must be a multiple of `batch_size`. They are not copied: what the caller
        writes into them later is what the layer serves.
        """
        if self.batches is not None:
            raise self.error("set_input_arrays: this layer reads the source of its source_class")
        for what, array in (("data", data), ("labels", labels)):
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                raise self.error(f"set_input_arrays: {what} must be a float32 array")
            if not array.flags.c_contiguous:
                raise self.error(f"set_input_arrays: {what} must be C-contiguous")
        if data.shape[1:] != self.declared:
            raise self.error(
                f"set_input_arrays: data has shape {data.shape}, the layer serves"
                f" (rows, {', '.join(map(str, self.declared))})"
            )
        if len(data) == 0 or len(data) % self.batch_size:
            raise self.error(
                f"set_input_arrays: {len(data)} rows, no multiple of batch_size {self.batch_size}"
            )
        if labels.size != len(data) or len(labels) != len(data):
            raise self.error(
                f"set_input_arrays: {len(data)} rows of data and labels of shape {labels.shape}"
            )
        self.arrays = (data, labels.reshape(-1, 1, 1, 1))
        self.position = 0

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The next batch of the source, or of the arrays."""
        if self.batches is not None:
            super().forward(bottom, top)
            return
        if self.arrays is None:
            raise self.error("has no data: call set_input_arrays, or name a source_class")
        rows = slice(self.position, self.position + self.batch_size)
        for blob, array in zip(top, self.arrays, strict=True):
            blob.reshape(self.batch_size, *array.shape[1:])
            blob.data.write("cpu")[...] = array[rows]
        self.position = rows.stop % len(self.arrays[0])

    def seek(self, batch: int) -> None:
        """Make the next forward give batch number `batch` of the run."""
        super().seek(batch)
        if self.arrays is not None:
            self.position = batch * self.batch_size % len(self.arrays[0])
