"""Vocab: the words of captions and their ids."""

from minicaffe.distributed.spark.tools.vocab import Vocab

__all__ = ["Vocab"]
