"""Nets of a few layers for tests: inputs as arrays, layers as prototxt."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import minicaffe
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

Array = NDArray[np.float32]


def small_net(
    layers: str,
    device: str,
    inputs: dict[str, Any] | None = None,
    phase: int = minicaffe.TRAIN,
    force_backward: bool = True,
) -> Net:
    """A net of Input layers that hold the given arrays, and the layers of a prototxt text."""
    param = parse_text(layers, pb.NetParameter())
    own = list(param.layer)
    del param.layer[:]
    for name, values in (inputs or {}).items():
        layer = param.layer.add(name=f"in_{name}", type="Input", top=[name])
        layer.input_param.shape.add(dim=np.shape(values))
    param.layer.extend(own)
    param.force_backward = force_backward
    net = Net(param, phase, device=device)
    for name, values in (inputs or {}).items():
        net.blob_dict[name].data[...] = values
    return net


def forward(net: Net, top: str = "y") -> Array:
    """Run the net; a copy of a top."""
    net.forward_pass()
    return np.array(net.blob_dict[top].data, copy=True)


def backward(net: Net, bottom: str = "x", **gradients: Any) -> Array:
    """Give the tops these gradients and run the net back; a copy of a bottom's gradient."""
    for name, values in gradients.items():
        net.blob_dict[name].diff[...] = values
    net.backward_pass()
    return np.array(net.blob_dict[bottom].diff, copy=True)
