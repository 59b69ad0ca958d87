"""CaffeModel: a trained net that adds the values of its blobs to the rows of a DataFrame."""

from __future__ import annotations

import functools
from typing import Any

from pyspark.ml import Model
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)

from minicaffe.device import known_families
from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

from .. import portable
from ..files.store_folders import HadoopFolder
from ..session import context_of
from ..shipping.far_settings import carried
from ..shipping.package_code import ship_code
from ..shipping.user_code import collect_code
from .columns import quoted
from .forward import INPUT, WEIGHTS, TransformJob, transform_batches
from .nets import batch_size, data_layer, feed, part_for
from .params import CaffeParams

NET, FILES = "net.prototxt", "files"  # what a saved model has, beside WEIGHTS


class CaffeModel(Model, CaffeParams, MLWritable, MLReadable["CaffeModel"]):
    """What CaffeEstimator.fit gives: the net in phase TEST, and its weights.

    `transform` adds a column a blob of featuresCols, array<float> or vector; all rows and columns
    stay, in their order. A row whose data cannot be read has nulls there. Nothing is computed
    before the result is asked for. Only the layers that these blobs need run, so a label is not
    necessary for scores. `metrics` has the course of the training, as long as it is not saved.
    """

    def __init__(
        self, net: str = "", weights: bytes = b"", files: dict[str, bytes] | None = None
    ) -> None:
        super().__init__()
        self._setDefault(inputCols=["data"], labelCol="label", idCol="id", device="cpu")
        self.net_text = net
        self.weights_bytes = weights
        self.files = files or {}
        self.metrics: Any = None

    def setParams(self, **params: Any) -> CaffeModel:
        """Set Params by their names."""
        return self._set(**params)

    def _transform(self, dataset: Any) -> Any:
        from pyspark.sql import functions, types

        sc = context_of(dataset.sparkSession)
        blobs = list(dict.fromkeys(self.getOrDefault(self.featuresCols)))
        names = self._names(blobs, dataset.columns)
        job = self._job(tuple(blobs))
        data, *others = pb.NetParameter.FromString(job.net).layer
        used = {name for layer in others for name in layer.bottom}
        columns = self.columns_for(data, dataset, data.top[-1] in used)
        ship_code(sc)
        floats = types.ArrayType(types.FloatType())
        fields = [types.StructField(f"{INPUT} {blob}", floats) for blob in blobs]
        frame = dataset.select("*", functions.struct(*columns).alias(INPUT)).mapInArrow(
            carried(sc, functools.partial(transform_batches, job)),
            types.StructType([*dataset.schema.fields, *fields]),
        )
        vectors = self.getOrDefault(self.vectorCols) if self.isDefined(self.vectorCols) else []
        found = [functions.col(quoted(field.name)) for field in fields]
        results = [
            (_vector(column) if name in vectors else column).alias(name)
            for name, column in zip(names, found, strict=True)
        ]
        if self.isDefined(self.predictionCol):
            largest = functions.array_position(found[0], functions.array_max(found[0])) - 1
            results.append(largest.cast("double").alias(self.getOrDefault(self.predictionCol)))
        kept = [functions.col(quoted(name)) for name in dataset.columns]
        return frame.select(*kept, *results)

    def _names(self, blobs: list[str], taken: list[str]) -> list[str]:
        """The names of the columns that are added."""
        names = self.getOrDefault(self.outputCols) if self.isDefined(self.outputCols) else blobs
        if len(names) != len(blobs):
            raise ClusterError(f"{len(names)} outputCols for {len(blobs)} featuresCols")
        every = [*names]
        if self.isDefined(self.predictionCol):
            every.append(self.getOrDefault(self.predictionCol))
        for name in every:
            if name in taken or every.count(name) > 1:
                raise ClusterError(f"there is a column '{name}' already: set other outputCols")
        return names

    def _job(self, blobs: tuple[str, ...]) -> TransformJob:
        device = self.getOrDefault(self.device)
        known_families(device)
        net = part_for(parse_text(self.net_text, pb.NetParameter(), NET), blobs)
        feed(net, pb.TEST, "rows", self.given(self.batchSize) or 0, self.given(self.encoded))
        if batch_size(data_layer(net, pb.TEST)) == 0:
            raise ClusterError("the net's data layer has no batch_size: set batchSize")
        return TransformJob(
            net=net.SerializeToString(),
            places=portable.get_places([net]),
            files={**self.files, WEIGHTS: self.weights_bytes},
            code=collect_code(net),
            blobs=blobs,
            device=device,
        )

    def write(self) -> MLWriter:
        """What saves it, in any file system that Spark knows."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[CaffeModel]:
        """What loads it."""
        return _Reader()


def _vector(array: Any) -> Any:
    """A column of arrays as one of vectors; nulls stay, which array_to_vector does not take."""
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions

    return functions.when(array.isNotNull(), array_to_vector(array))


class _Writer(MLWriter):
    def __init__(self, model: CaffeModel) -> None:
        super().__init__()
        self.model = model

    def saveImpl(self, path: str) -> None:
        DefaultParamsWriter.saveMetadata(self.model, path, context_of(self.sparkSession))
        folder = HadoopFolder(context_of(self.sparkSession), path)
        folder.write(NET, self.model.net_text.encode())
        folder.write(WEIGHTS, self.model.weights_bytes)
        for name, content in self.model.files.items():
            folder.write(f"{FILES}/{name}", content)


class _Reader(MLReader[CaffeModel]):
    def load(self, path: str) -> CaffeModel:
        kind = f"{CaffeModel.__module__}.{CaffeModel.__name__}"
        metadata = DefaultParamsReader.loadMetadata(path, context_of(self.sparkSession), kind)
        folder = HadoopFolder(context_of(self.sparkSession), path)
        files = {name: folder.read(f"{FILES}/{name}") for name in folder.names(FILES)}
        model = CaffeModel(folder.read(NET).decode(), folder.read(WEIGHTS), files)
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model
