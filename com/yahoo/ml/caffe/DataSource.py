"""DataSource, under the ancestor's name."""

from minicaffe.distributed.spark.data_source import DataSource

__all__ = ["DataSource"]
