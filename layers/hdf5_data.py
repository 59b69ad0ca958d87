"""HDF5Data: batches of rows of HDF5 datasets."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.data.batches import Batches
from minicaffe.data.draws import StreamDraws
from minicaffe.data.sources.hdf5_rows import FileOrder, Hdf5Rows
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.random_stream.generator import Generator

from ._batched import BatchedLayer


class HDF5DataLayer(BatchedLayer):
    """Rows of the datasets that have the tops' names, from all files of a list, over and over.

    `hdf5_data_param`: `source`, a list of HDF5 files, between any white space; `batch_size`;
    `shuffle` (false): in each pass the files come in another order, and the rows of each file too.
    Values may be whole or real numbers of any size; they become float32 and are not transformed.
    Batches run on from one file to the next. Of several ranks in phase TRAIN, row i is for rank
    i mod ranks. Shuffles follow from the random seed, but are not Caffe's, which takes them from
    the C library. Tops: (N, ...), N = `batch_size`, as many as wanted.

        layer {
          type: "HDF5Data" name: "rows" top: "data" top: "label"
          hdf5_data_param { source: "train_files.txt" batch_size: 64 shuffle: true }
        }
    """

    tops = (1, None)
    reads = ("hdf5_data_param.source",)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Look at the shapes in all files."""
        param: pb.HDF5DataParameter = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            raise self.error("does not transform data: leave out transform_param")
        if param.batch_size == 0:
            raise self.error("hdf5_data_param.batch_size must be given, and be above 0")
        source = Hdf5Rows(self.param, self.phase)
        seed = self.common_seed(param.shuffle, "rows")
        if seed is None:
            seed = _next_draw(context.current().rng) if param.shuffle else 0
        rank, world_size = self.share()
        order = FileOrder(
            len(source),
            param.batch_size,
            shuffle=param.shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
            rows=tuple(source.rows),
        )
        self.batches = Batches(source, order, [None] * len(top), StreamDraws(0))
        for blob, shape in zip(top, source.shapes, strict=True):
            blob.reshape(param.batch_size, *shape)


def _next_draw(rng: Generator) -> int:
    """What the generator draws next, without drawing it: fillers go on as in Caffe."""
    copy = Generator(0)
    copy.set_state(rng.get_state())
    return copy.draw()
