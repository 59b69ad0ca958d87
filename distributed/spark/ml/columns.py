"""Columns of a DataFrame as the samples of a net: what ImageDataFrame and CoSData layers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicaffe.errors import ClusterError, did_you_mean
from minicaffe.proto import minicaffe_pb2 as pb

IMAGE = {"height": "height", "width": "width", "nChannels": "channels", "data": "data"}
ID = "id"  # the column of a store by which its rows are sorted


def sample_columns(df: Any, inputs: Sequence[str], label: str, needed: bool) -> list[Any]:
    """The columns `data`, `label`, and those that an image brings, of a DataFrame.

    A label that is not there is 0, unless it is `needed`. Raises ClusterError.
    """
    from pyspark.sql import functions

    for name in (*inputs, label) if needed else inputs:
        _check_there(df, name)
    if not inputs:
        raise ClusterError("inputCols names no column")
    found = functions.col(quoted(label)) if label in df.columns else functions.lit(0.0)
    columns = [found.cast("float").alias("label")]
    kind = df.schema[inputs[0]].dataType
    if len(inputs) == 1 and kind.typeName() in ("binary", "string"):
        return [*columns, functions.col(quoted(inputs[0])).alias("data")]
    if len(inputs) == 1 and set(IMAGE) <= set(_fields(kind)):
        image = functions.col(quoted(inputs[0]))
        return [*columns, *(image[field].alias(name) for field, name in IMAGE.items())]
    arrays = [_array(name, df.schema[name].dataType) for name in inputs]
    joined = arrays[0] if len(arrays) == 1 else functions.concat(*arrays)
    return [*columns, joined.alias("data")]


def top_columns(df: Any, layer: pb.LayerParameter, named: Mapping[str, str]) -> list[Any]:
    """A column for each top of a CoSData layer, with the top's name.

    Its data are in the column that `named` gives for the top, or else cos_data_param. Raises
    ClusterError.
    """
    from pyspark.ml.functions import vector_to_array
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import functions

    tops = list(layer.top)
    for top in named:
        if top not in tops:
            near = did_you_mean(top, tops) or f" (it has: {', '.join(tops)})"
            raise ClusterError(f"topCols: layer '{layer.name}' has no top '{top}'{near}")
    if ID in tops:
        raise ClusterError(
            f"layer '{layer.name}': no top may be called '{ID}' where a DataFrame feeds it, as the"
            " column is by which the samples are sorted"
        )
    found = []
    for top, wanted in zip(tops, layer.cos_data_param.top, strict=True):
        name = named.get(top, wanted.name)
        _check_there(df, name)
        column, kind = functions.col(quoted(name)), df.schema[name].dataType
        if isinstance(kind, VectorUDT):
            column = vector_to_array(column, "float32")
        elif wanted.type == pb.CoSDataParameter.RAW_IMAGE and set(IMAGE) <= set(_fields(kind)):
            column = column["data"]
        found.append(column.alias(top))
    return found


def _check_there(df: Any, name: str) -> None:
    if name not in df.columns:
        raise ClusterError(f"there is no column '{name}' (there are: {', '.join(df.columns)})")


def _fields(kind: Any) -> Sequence[str]:
    """The names of a struct's fields."""
    names: Sequence[str] = getattr(kind, "names", ())
    return names


def _array(name: str, kind: Any) -> Any:
    """The numbers of a column, as an array<float>: of a number, an array of any depth, a vector."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import functions, types

    column = functions.col(quoted(name))
    if isinstance(kind, VectorUDT):
        return vector_to_array(column, "float32")
    whole = kind
    while isinstance(kind, types.ArrayType) and isinstance(kind.elementType, types.ArrayType):
        column, kind = functions.flatten(column), kind.elementType
    if isinstance(kind, types.ArrayType) and isinstance(kind.elementType, types.NumericType):
        return column.cast("array<float>")
    if isinstance(kind, types.NumericType | types.BooleanType):
        return functions.array(column.cast("float"))
    raise ClusterError(
        f"column '{name}' is {whole.simpleString()}: bytes, an image, a vector, numbers or arrays"
        " of them are expected"
    )


def quoted(name: str) -> str:
    """A column's name as an expression of SQL."""
    return "`" + name.replace("`", "``") + "`"
