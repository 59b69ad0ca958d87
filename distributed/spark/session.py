"""What a user's program gives us of Spark: context, session, places in its file systems."""

from __future__ import annotations

import os
from typing import Any

from minicaffe.errors import ClusterError, extra

from .shipping.far_settings import learn_settings
from .shipping.package_code import ship_code

Place = tuple[Any, Any]  # a path of Hadoop, and the file system that it lies in

NO_CONNECT = (
    "Spark Connect has no barrier stages, in which the ranks train: use a session of the cluster"
    " itself (master in place of remote, spark-submit --master)"
)


def context_of(spark: Any) -> Any:
    """The SparkContext of a SparkContext or a SparkSession; None for None.

    From now on this process opens files in S3 as the session does (shipping/far_settings.py).
    Raises ClusterError for a session of Spark Connect, which has none.
    """
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        raise ClusterError(NO_CONNECT)
    sc = getattr(spark, "sparkContext", spark)
    learn_settings(sc)
    return sc


def running_session() -> Any:
    """The SparkSession above the SparkContext that is running."""
    return extra("pyspark.sql", "spark", "CaffeOnSpark").SparkSession.builder.getOrCreate()


def session_of(given: Any = None) -> Any:
    """The SparkSession of a SparkContext, a SparkSession or a DataFrame; the running one for None.

    Functions of minicaffe can be called by its tasks afterwards. Raises ClusterError like
    `context_of`.
    """
    session = getattr(given, "sparkSession", given)
    context_of(session)
    if not hasattr(session, "createDataFrame"):
        session = running_session()
    ship_code(session.sparkContext)
    return session


# --- its file systems ----------------------------------------------------------------------------


def hadoop_place(sc: Any, path: str) -> Place:
    """A path, and its file system; a relative one on this machine begins in the working directory.

    (Hadoop would begin where Java was started, and takes no `file:name`.) Raises what Java raises.
    """
    scheme, colon, rest = path.partition(":")
    if colon and scheme.lower() == "file" and not rest.startswith("/"):
        path = f"file:{os.path.abspath(rest)}"
    hadoop = sc._jvm.org.apache.hadoop.fs
    place = hadoop.Path(path)
    system = place.getFileSystem(sc._jsc.hadoopConfiguration())
    if system.getScheme() == "file" and not place.isAbsolute():
        place = hadoop.Path(os.path.join(os.getcwd(), place.toUri().getPath()))
    return place, system


def exists(sc: Any, path: str) -> bool:
    """Whether there is a file or folder, in any file system that Spark knows."""
    try:
        place, system = hadoop_place(sc, path)
        return bool(system.exists(place))
    except Exception as error:
        raise ClusterError(f"{path}: {java_cause(error)}") from None


def java_cause(error: Exception) -> str:
    """The line of Java's exception that tells the cause."""
    return str(getattr(error, "java_exception", error)).splitlines()[0]
