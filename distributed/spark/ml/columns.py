"""Columns of a DataFrame as the samples of a net: what ImageDataFrame reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicaffe.errors import ClusterError

IMAGE = {"height": "height", "width": "width", "nChannels": "channels", "data": "data"}


def sample_columns(df: Any, inputs: Sequence[str], label: str, needed: bool) -> list[Any]:
    """The columns `data`, `label`, and those that an image brings, of a DataFrame.

    A label that is not there is 0, unless it is `needed`. Raises ClusterError.
    """
    from pyspark.sql import functions

    for name in (*inputs, label) if needed else inputs:
        if name not in df.columns:
            raise ClusterError(f"there is no column '{name}' (there are: {', '.join(df.columns)})")
    if not inputs:
        raise ClusterError("inputCols names no column")
    found = functions.col(quoted(label)) if label in df.columns else functions.lit(0.0)
    columns = [found.cast("float").alias("label")]
    kind = df.schema[inputs[0]].dataType
    if len(inputs) == 1 and kind.typeName() in ("binary", "string"):
        return [*columns, functions.col(quoted(inputs[0])).alias("data")]
    if len(inputs) == 1 and set(IMAGE) <= set(getattr(kind, "names", ())):
        image = functions.col(quoted(inputs[0]))
        return [*columns, *(image[field].alias(name) for field, name in IMAGE.items())]
    arrays = [_array(name, df.schema[name].dataType) for name in inputs]
    joined = arrays[0] if len(arrays) == 1 else functions.concat(*arrays)
    return [*columns, joined.alias("data")]


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
