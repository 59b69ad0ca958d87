"""DataFrames whose columns are arrays of float (features, results of tests), and their values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minicaffe.errors import extra

from ..session import running_session


def array_frame(rows: Any, names: Iterable[str], key: str = "") -> Any:
    """A DataFrame of rows, an RDD or a list, with the columns of `array_schema`."""
    return running_session().createDataFrame(rows, array_schema(names, key), verifySchema=False)


def array_schema(names: Iterable[str], key: str = "") -> Any:
    """A column array<float> a name, none of them null. With `key`, a string column comes first."""
    types = extra("pyspark.sql.types", "spark", "CaffeOnSpark")
    fields = [types.StructField(key, types.StringType(), nullable=False)] if key else []
    values = types.ArrayType(types.FloatType(), containsNull=False)
    fields += [types.StructField(name, values, nullable=False) for name in names]
    return types.StructType(fields)


def first_of(column: Any) -> Any:
    """A column of arrays as the number (double) that each begins with, null for an empty one."""
    functions = extra("pyspark.sql.functions", "spark", "CaffeOnSpark")
    return functions.get(_column(column), functions.lit(0)).cast("double")


def vector_of(column: Any) -> Any:
    """A column of arrays as dense vectors of Spark ML."""
    functions = extra("pyspark.ml.functions", "spark", "CaffeOnSpark")
    return functions.array_to_vector(_column(column).cast("array<double>"))


def _column(given: Any) -> Any:
    functions = extra("pyspark.sql.functions", "spark", "CaffeOnSpark")
    return functions.col(given) if isinstance(given, str) else given
