"""What can be set of a CaffeEstimator and of its CaffeModel."""

from __future__ import annotations

from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters

from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb

from .columns import sample_columns, top_columns
from .nets import net_text, solver_text


def _solver(value: Any) -> str:
    return solver_text(TypeConverters.toString(value))


def _net(value: Any) -> str:
    return net_text(TypeConverters.toString(value))


def _by_top(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError(f"a dict of columns by top is expected, not {value!r}")
    return {TypeConverters.toString(top): TypeConverters.toString(value[top]) for top in value}


def _param(name: str, doc: str, convert: Any) -> Param[Any]:
    return Param(Params._dummy(), name, doc, typeConverter=convert)


class CaffeParams(Params):
    """The Params of both; `explainParams()` shows them with their values."""

    inputCols = _param(
        "inputCols",
        "columns of the data: one with bytes, an array, a vector or an image; or several numbers"
        " and arrays, which are joined",
        TypeConverters.toListString,
    )
    labelCol = _param("labelCol", "column of the label, a number", TypeConverters.toString)
    idCol = _param(
        "idCol", "column by which the samples are sorted, if it is there", TypeConverters.toString
    )
    topCols = _param(
        "topCols",
        "for a CoSData layer, in place of inputCols and labelCol: the columns of tops, as a dict; a"
        " top that is not in it has the column that the net names",
        _by_top,
    )
    encoded = _param(
        "encoded",
        "whether bytes are JPEG, PNG ... (the net says)",
        TypeConverters.toBoolean,
    )
    featuresCols = _param(
        "featuresCols",
        "blobs whose values transform gives (what the loss looks at)",
        TypeConverters.toListString,
    )
    outputCols = _param(
        "outputCols", "names of their columns (those of the blobs)", TypeConverters.toListString
    )
    vectorCols = _param(
        "vectorCols", "which of these columns are vectors, not arrays", TypeConverters.toListString
    )
    predictionCol = _param(
        "predictionCol",
        "column for the place of the largest value of the first blob, a class (none)",
        TypeConverters.toString,
    )
    batchSize = _param("batchSize", "samples a batch and rank (the net says)", TypeConverters.toInt)
    device = _param("device", "with whose kernels: cpu, reference, ...", TypeConverters.toString)

    def given(self, param: Param[Any]) -> Any:
        """The value of a Param; None where there is none."""
        return self.getOrDefault(param) if self.isDefined(param) else None

    def columns_for(self, layer: pb.LayerParameter, df: Any, label: bool) -> list[Any]:
        """The columns of a DataFrame that feed a data layer; `label` says whether it needs one.

        Raises ClusterError for columns that are not there, and for Params of other layers.
        """
        if layer.type != "CoSData":
            if self.isSet(self.topCols):
                raise ClusterError(
                    f"topCols is for a CoSData layer, '{layer.name}' is {layer.type}"
                )
            inputs, name = self.getOrDefault(self.inputCols), self.getOrDefault(self.labelCol)
            return sample_columns(df, inputs, name, label)
        for param in (self.inputCols, self.labelCol):
            if self.isSet(param):
                raise ClusterError(
                    f"{param.name} is not for layer '{layer.name}' (CoSData): topCols names the"
                    " columns of its tops"
                )
        return top_columns(df, layer, self.given(self.topCols) or {})


class CaffeTrainingParams(CaffeParams):
    """The Params of a CaffeEstimator."""

    solver = _param("solver", "the solver's prototxt: its path or its text", _solver)
    net = _param("net", "a net in place of the solver's: a path or a text", _net)
    ranks = _param("ranks", "how many ranks train", TypeConverters.toInt)
    epochs = _param(
        "epochs", "how often training sees all samples, in place of maxIter", TypeConverters.toFloat
    )
    maxIter = _param("maxIter", "iterations (the solver says)", TypeConverters.toInt)
    baseLr = _param("baseLr", "base_lr (the solver says)", TypeConverters.toFloat)
    seed = _param("seed", "random_seed (the solver says)", TypeConverters.toInt)
    sync = _param(
        "sync", "how the ranks stay together: allreduce, sparknet ...", TypeConverters.toString
    )
    connection = _param("connection", "between the ranks: ethernet ...", TypeConverters.toString)
    weights = _param("weights", "a .caffemodel to start from", TypeConverters.toString)
    store = _param(
        "store",
        "a folder that all machines share: the data are written into a store there, and used again"
        " while they are the same; else it is temporary",
        TypeConverters.toString,
    )
