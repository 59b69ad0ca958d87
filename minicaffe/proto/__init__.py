"""Messages: the schema, prototxt text, upgrades of old formats, files."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "caffe_pb2":  # pycaffe scripts reach it as caffe.proto.caffe_pb2
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
