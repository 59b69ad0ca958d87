"""What the tests of Spark have in common: a session with two slots a file, the small data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.spark_cluster import SmallSet, spark_context


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    """A SparkContext with two slots on this machine."""
    pytest.importorskip("pyspark")
    with spark_context("local[2]") as sc:
        yield sc


@pytest.fixture(scope="module")
def spark(sc: Any) -> Any:
    """The session above it."""
    from pyspark.sql import SparkSession

    return SparkSession(sc)


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    """The small data set, in a folder of the test's own."""
    return SmallSet(tmp_path)
