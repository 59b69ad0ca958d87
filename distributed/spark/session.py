"""What a user's program gives us of Spark: a SparkContext, or the SparkSession above one."""

from __future__ import annotations

from typing import Any

from minicaffe.errors import ClusterError, extra


def context_of(spark: Any) -> Any:
    """The SparkContext of a SparkContext or a SparkSession; None for None.

    Raises ClusterError for a session of Spark Connect, which has none.
    """
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        raise ClusterError(
            "Spark Connect has no barrier stages, in which the ranks train: use a session of the"
            " cluster itself (master in place of remote, spark-submit --master)"
        )
    return getattr(spark, "sparkContext", spark)


def running_session() -> Any:
    """The SparkSession above the SparkContext that is running."""
    return extra("pyspark.sql", "spark", "CaffeOnSpark").SparkSession.builder.getOrCreate()
