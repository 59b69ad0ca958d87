"""CaffeEstimator: trains a net with a DataFrame, the Spark ML way."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from minicaffe.data.store import find_index
from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import format_text

from .. import portable
from ..caffe_on_spark import CaffeOnSpark
from ..config import Config
from ..data_source import DataSource
from ..session import context_of
from ..slots import is_local
from ..store_writer import digest_of, write_store
from .columns import ID, quoted
from .model import CaffeModel
from .nets import batch_size, data_layer, feed, forward_net, read_solver, scores_of
from .params import CaffeTrainingParams

OPTIONS = {"device": "device", "sync": "sync", "connection": "connection", "weights": "weights"}


class CaffeEstimator(
    Estimator[CaffeModel], CaffeTrainingParams, DefaultParamsReadable["CaffeEstimator"],
    DefaultParamsWritable,
):  # fmt: skip
    """Trains the net of a solver: `CaffeEstimator(solver="lenet_solver.prototxt").fit(df)`.

    The DataFrame takes the place of what the net's data layer names. Of MemoryData or Data the
    inputCols become the first top, the labelCol the second; a CoSData layer has a column a top
    (topCols). Transformations, batch size and shape are the layer's. The data are written into a
    store once, by Spark, and read by `ranks` tasks that train together. There is no validation and
    there are no snapshots: a CrossValidator, or CaffeOnSpark, has them. Raises ClusterError, in one
    line.
    """

    @keyword_only
    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._setDefault(inputCols=["data"], labelCol="label", idCol="id", ranks=1, device="cpu")
        self._set(**params)

    @keyword_only
    def setParams(self, **params: Any) -> CaffeEstimator:
        """Set Params by their names."""
        return self._set(**params)

    def _fit(self, dataset: Any) -> CaffeModel:
        sc = context_of(dataset.sparkSession)
        if self.given(self.solver) is None:
            raise ClusterError("CaffeEstimator needs a solver: a prototxt's path or its text")
        solver = read_solver(self.getOrDefault(self.solver), self.given(self.net) or "")
        for net in portable.nets_of(solver):
            portable.make_paths_absolute(net)
        self._tune(solver)
        forward = forward_net(solver)
        net = solver.train_net_param if solver.HasField("train_net_param") else solver.net_param
        columns = self.columns_for(data_layer(net, pb.TRAIN), dataset, True)
        with (
            self._store(dataset, columns, sc) as store,
            tempfile.TemporaryDirectory() as folder,
        ):
            feed(net, pb.TRAIN, store, self.given(self.batchSize) or 0, self.given(self.encoded))
            self._count(solver, net, store)
            return self._train(sc, solver, forward, folder)

    def _tune(self, solver: pb.SolverParameter) -> None:
        """Put what was set into the solver."""
        for field in ("test_iter", "test_interval", "snapshot", "snapshot_after_train"):
            solver.ClearField(field)
        for param, field in ((self.maxIter, "max_iter"), (self.baseLr, "base_lr"),
                             (self.seed, "random_seed")):  # fmt: skip
            if self.given(param) is not None:
                setattr(solver, field, self.given(param))

    def _count(self, solver: pb.SolverParameter, net: pb.NetParameter, store: str) -> None:
        """Turn epochs into iterations."""
        index = find_index(store)
        rows = sum(group.rows for group in index.groups) if index else 0
        if rows == 0:
            raise ClusterError("the DataFrame has no rows to train with")
        if self.given(self.epochs) is not None:
            batch = batch_size(data_layer(net, pb.TRAIN))
            step = batch * max(solver.iter_size, 1) * self.getOrDefault(self.ranks)
            solver.max_iter = math.ceil(self.given(self.epochs) * rows / max(step, 1))

    @contextmanager
    def _store(self, dataset: Any, columns: list[Any], sc: Any) -> Iterator[str]:
        """The samples in a store; a temporary one is removed at the end."""
        from pyspark.sql import functions

        key = self.getOrDefault(self.idCol)
        if key in dataset.columns:
            columns = [*columns, functions.col(quoted(key)).alias(ID)]
        frame = dataset.select(*columns)
        home = self.given(self.store)
        if home is not None:
            digest = content_digest(frame)
            yield write_store(
                frame, f"{home.rstrip('/')}/frame-{digest[:16]}", source_digest=digest
            )
            return
        if not is_local(sc):
            raise ClusterError("CaffeEstimator needs a folder that all machines share: store=...")
        folder = tempfile.mkdtemp(prefix="minicaffe-store-")
        try:
            yield write_store(frame, os.path.join(folder, "frame"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _train(
        self, sc: Any, solver: pb.SolverParameter, net: pb.NetParameter, folder: str
    ) -> CaffeModel:
        """Train the solver's net; the model has `net`, which is that of phase TEST."""
        path, model = os.path.join(folder, "solver.prototxt"), os.path.join(folder, "m.caffemodel")
        with open(path, "w", encoding="utf-8") as file:
            file.write(format_text(solver))
        args = {"conf": path, "model": model, "clusterSize": self.getOrDefault(self.ranks)}
        for name, option in OPTIONS.items():
            if self.given(self.getParam(name)) is not None:
                args[option] = self.given(self.getParam(name))
        conf = Config(sc, args)
        training = CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
        files: dict[str, bytes] = {}
        portable.take_files(net, files, sc)
        with open(model, "rb") as weights:
            fitted = CaffeModel(format_text(net), weights.read(), files)
        fitted.metrics = training.metrics
        fitted._setDefault(featuresCols=[scores_of(net)])
        return self._copyValues(fitted)


def content_digest(frame: Any) -> str:
    """A digest of the rows of a frame, with their ids or else their order; nothing is collected."""
    from pyspark.sql import functions

    order = [] if "id" in frame.columns else [functions.monotonically_increasing_id()]
    row = functions.xxhash64(*frame.columns, *order)
    row = functions.xxhash64(row, functions.lit(17))  # sums of hashes of hashes
    found = frame.select(row.cast("decimal(38,0)").alias("row")).agg(
        functions.count("*"),
        functions.sum("row"),
        functions.bit_xor(functions.col("row").cast("bigint")),
    )
    return digest_of(*map(str, found.first()), frame.schema.json())
