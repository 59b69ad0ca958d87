"""The `engine` field of old prototxts: DEFAULT and CAFFE mean minicaffe's own kernels."""

from typing import Any

from minicaffe.layer import Layer


def check_engine(layer: Layer, param: Any) -> None:
    """Refuse `engine: CUDNN` in a layer's parameter message, as a Caffe without cuDNN does."""
    if param.engine == param.CUDNN:
        raise layer.error(
            "engine CUDNN is not built in: leave `engine` out or write CAFFE (the device of a net "
            "is chosen by minicaffe.use_device)"
        )
