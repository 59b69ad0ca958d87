"""Blobs whose elements are integers, which only kernels look at: both have 4 bytes."""

from typing import Any

from minicaffe.blob import Blob


def as_int32(blob: Blob, device: str, mode: str) -> Any:
    """The data of a blob on a device as int32; mode is "read", "write" or "update"."""
    return getattr(blob.data, mode)(device).view("int32")
