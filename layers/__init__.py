"""The layers, one file a type: `create_layer` finds `SoftmaxWithLoss` in `softmax_with_loss.py`.

A name in capitals is a function of NetSpec, so that `from minicaffe import layers as L` reads as
in pycaffe: `L.Convolution(n.data, num_output=20, kernel_size=5)`.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if not name[:1].isupper():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from minicaffe.pycaffe.net_spec import layers

    return getattr(layers, name)
