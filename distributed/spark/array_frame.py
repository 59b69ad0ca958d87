"""DataFrames whose columns are arrays of float: features, and the results of tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minicaffe.errors import extra


def array_frame(rows: Any, names: Iterable[str], key: str = "") -> Any:
    """A DataFrame of rows, an RDD or a list: a column array<float> a name, none of them null.

    With `key`, a string column of this name comes first.
    """
    sql = extra("pyspark.sql", "spark", "CaffeOnSpark")
    types = extra("pyspark.sql.types", "spark", "CaffeOnSpark")
    fields = [types.StructField(key, types.StringType(), nullable=False)] if key else []
    values = types.ArrayType(types.FloatType(), containsNull=False)
    fields += [types.StructField(name, values, nullable=False) for name in names]
    session = sql.SparkSession.builder.getOrCreate()
    return session.createDataFrame(rows, types.StructType(fields), verifySchema=False)
