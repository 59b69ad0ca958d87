"""ResNet-50 (He et al., 2015), with the stride in the first convolution of a stage."""

from typing import Any

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.net_spec import NetSpec
from minicaffe.pycaffe.net_spec import params as P

from . import L, end, start

STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, and filters of their 3x3 convolution


def net(batch: int = 8, deploy: bool = False) -> pb.NetParameter:
    """Images (batch, 3, 224, 224), 1000 classes."""
    n = start((batch, 3, 224, 224), deploy)
    x = convolve(n, "1", n.data, 64, 7, stride=2)
    n.pool1 = x = L.Pooling(rectify(n, "1", x), pool=P.Pooling.MAX, kernel_size=3, stride=2)
    for stage, (blocks, filters) in enumerate(STAGES, start=2):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            x = bottleneck(n, f"{stage}{chr(ord('a') + block)}", x, filters, stride, block == 0)
    n.pool5 = L.Pooling(x, pool=P.Pooling.AVE, kernel_size=7)
    n.fc1000 = L.InnerProduct(n.pool5, num_output=1000)
    return end(n, n.fc1000, "ResNet-50", deploy)


def convolve(n: NetSpec, name: str, x: Any, filters: int, size: int, stride: int = 1) -> Any:
    """Convolution without bias, normalised, scaled and shifted."""
    n[f"conv{name}"] = L.Convolution(
        x, num_output=filters, kernel_size=size, pad=size // 2, stride=stride, bias_term=False
    )
    n[f"bn{name}"] = L.BatchNorm(n[f"conv{name}"], in_place=True)
    n[f"scale{name}"] = L.Scale(n[f"bn{name}"], bias_term=True, in_place=True)
    return n[f"scale{name}"]


def rectify(n: NetSpec, name: str, x: Any) -> Any:
    """ReLU in place."""
    n[f"relu{name}"] = L.ReLU(x, in_place=True)
    return n[f"relu{name}"]


def bottleneck(n: NetSpec, name: str, x: Any, filters: int, stride: int, project: bool) -> Any:
    """1x1, 3x3 and 1x1 convolutions, added to their input or to a projection of it."""
    shortcut = convolve(n, f"{name}_branch1", x, 4 * filters, 1, stride) if project else x
    y = convolve(n, f"{name}_branch2a", x, filters, 1, stride)
    y = convolve(n, f"{name}_branch2b", rectify(n, f"{name}_branch2a", y), filters, 3)
    y = convolve(n, f"{name}_branch2c", rectify(n, f"{name}_branch2b", y), 4 * filters, 1)
    n[f"res{name}"] = L.Eltwise(shortcut, y)
    return rectify(n, name, n[f"res{name}"])
