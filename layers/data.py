"""Data: batches from an LMDB or a LevelDB, as Caffe reads them."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.data.batches import Batches
from minicaffe.data.draws import StreamDraws
from minicaffe.data.source import Order, open_source
from minicaffe.data.transformer import DataTransformer
from minicaffe.proto import minicaffe_pb2 as pb

from ._batched import BatchedLayer


class DataLayer(BatchedLayer):
    """Pictures and labels from a database of Datums, in key order, again from the first at the end.

    `data_param`: `source`; `batch_size`; `backend` (LEVELDB); `prefetch` (4), how many batches are
    read ahead. `transform_param`: see DataTransformer; Caffe's random stream, bit for bit. With
    several ranks, record i is for rank i mod ranks in phase TRAIN. Tops: data (N, C, H, W) and, if
    there is a second one, label (N). All pictures of a batch must have one size, if they are not
    cropped. A record that cannot be read is left out of its batch.

        layer {
          type: "Data" name: "mnist" top: "data" top: "label"
          transform_param { scale: 0.00390625 }
          data_param { source: "mnist_train_lmdb" backend: LMDB batch_size: 64 }
        }
    """

    tops = (1, 2)
    reads = ("data_param.source", "memory_data_param.source")

    @classmethod
    def fed_by(cls, param: pb.LayerParameter) -> tuple[str, str]:
        """The database."""
        lmdb = param.data_param.backend == pb.DataParameter.LMDB
        return "LMDB" if lmdb else "LevelDB", param.data_param.source

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Open the database and look at its first record."""
        param: pb.DataParameter = self.param.data_param
        if param.batch_size == 0:
            raise self.error("data_param.batch_size must be given, and be above 0")
        transformer = DataTransformer(self.param.transform_param, self.phase)
        here = context.current()
        seed = 0
        if transformer.draws:
            here.rng.draw()  # Caffe seeds its transformer twice
            seed = here.rng.draw()
        here.rng.draw()  # and its reading thread
        source = open_source(self.fed_by(self.param)[0], self.param, self.phase)
        rank, world_size = self.share()
        order = Order(
            len(source), param.batch_size, shuffle=False, rank=rank, world_size=world_size
        )
        self.batches = Batches(
            source, order, [transformer, None], StreamDraws(seed), depth=param.prefetch
        )
        shapes = self.batches.output_shapes(self.batches.first().values)
        for blob, shape in zip(top, shapes, strict=False):
            blob.reshape(param.batch_size, *shape)
