"""Config, under the ancestor's name."""

from minicaffe.distributed.spark.config import Config

__all__ = ["Config"]
