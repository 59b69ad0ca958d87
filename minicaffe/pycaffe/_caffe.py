"""pycaffe's compiled module: `from caffe._caffe import log`, as published scripts have it."""

import importlib
from typing import Any

from ..blob import BlobList as RawBlobVec
from .blob import ArrayBlob as Blob

__all__ = ["Blob", "BlobVec", "RawBlobVec"]

BlobVec = list  # of the blobs of a net, in order


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("minicaffe"), name)
