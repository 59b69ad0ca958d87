"""CaffeOnSpark for the ancestor's programs: as they know it, and their Python and Spark."""

from __future__ import annotations

from typing import Any

from minicaffe.distributed.spark import caffe_on_spark
from minicaffe.distributed.spark.data_source import Source

from .RegisterContext import registerContext, registerSQLContext

__all__ = ["CaffeOnSpark"]


class CaffeOnSpark(caffe_on_spark.CaffeOnSpark):
    """CaffeOnSpark, whose context is known everywhere (RegisterContext)."""

    def __init__(self, sc: Any) -> None:
        super().__init__(sc)
        registerContext(self.sc)
        registerSQLContext(self.sqlContext)

    def test(self, source: Source) -> dict[str, list[float]]:
        """The mean of every output, each a list that compares with a number, as in Python 2."""
        return {name: Values(values) for name, values in super().test(source).items()}

    def features(self, source: Source) -> Any:
        """A DataFrame of features that has the method `map` of an RDD, as in Spark 1."""
        frame = super().features(source)
        frame.map = frame.rdd.map
        return frame


class Values(list[float]):
    """An output's values. Of one alone, programs ask `result.get('accuracy') > 0.9`."""

    def __lt__(self, other: Any) -> bool:
        return self._alone(other) < other

    def __le__(self, other: Any) -> bool:
        return self._alone(other) <= other

    def __gt__(self, other: Any) -> bool:
        return self._alone(other) > other

    def __ge__(self, other: Any) -> bool:
        return self._alone(other) >= other

    def _alone(self, other: Any) -> Any:
        """The one value, if it is to be compared with a number."""
        return self[0] if len(self) == 1 and isinstance(other, int | float) else list(self)
