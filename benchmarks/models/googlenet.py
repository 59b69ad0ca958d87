"""GoogLeNet (Szegedy et al., 2014), with its two auxiliary classifiers in training."""

from typing import Any

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.net_spec import NetSpec
from minicaffe.pycaffe.net_spec import params as P

from . import L, finish, start

# Filters of a module: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; after the pooling.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "loss1", "4d": "loss2"}
HALVED = {"pool": P.Pooling.MAX, "kernel_size": 3, "stride": 2}


def net(batch: int = 8, deploy: bool = False) -> pb.NetParameter:
    """Images (batch, 3, 224, 224), 1000 classes."""
    n = start((batch, 3, 224, 224), deploy)
    x = convolve(n, "conv1", n.data, 64, 7, stride=2)
    n.pool1 = L.Pooling(x, **HALVED)
    n.norm1 = L.LRN(n.pool1, local_size=5, alpha=1e-4, beta=0.75)
    x = convolve(n, "conv2_reduce", n.norm1, 64, 1)
    x = convolve(n, "conv2", x, 192, 3)
    n.norm2 = L.LRN(x, local_size=5, alpha=1e-4, beta=0.75)
    n.pool2 = x = L.Pooling(n.norm2, **HALVED)
    for name, filters in MODULES.items():
        x = module(n, f"inception_{name}", x, filters)
        if name in ("3b", "4e"):
            n[f"pool{name[0]}"] = x = L.Pooling(x, **HALVED)
        if name in AUXILIARY and not deploy:
            auxiliary(n, AUXILIARY[name], x)
    n.pool5 = L.Pooling(x, pool=P.Pooling.AVE, kernel_size=7)
    n.drop5 = L.Dropout(n.pool5, dropout_ratio=0.4, in_place=True)
    n.loss3_classifier = L.InnerProduct(n.drop5, num_output=1000)
    if deploy:
        n.prob = L.Softmax(n.loss3_classifier)
    else:
        n.loss3 = L.SoftmaxWithLoss(n.loss3_classifier, n.label)
    return finish(n, "GoogLeNet", deploy)


def convolve(n: NetSpec, name: str, x: Any, filters: int, size: int, stride: int = 1) -> Any:
    """Convolution that keeps the image's extent (but for the stride), and a rectifier."""
    n[name] = L.Convolution(x, num_output=filters, kernel_size=size, pad=size // 2, stride=stride)
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return n[f"{name}_relu"]


def module(n: NetSpec, name: str, x: Any, filters: tuple[int, ...]) -> Any:
    """Four branches of one input, concatenated."""
    one, three_reduced, three, five_reduced, five, pooled = filters
    a = convolve(n, f"{name}_1x1", x, one, 1)
    b = convolve(n, f"{name}_3x3_reduce", x, three_reduced, 1)
    b = convolve(n, f"{name}_3x3", b, three, 3)
    c = convolve(n, f"{name}_5x5_reduce", x, five_reduced, 1)
    c = convolve(n, f"{name}_5x5", c, five, 5)
    n[f"{name}_pool"] = L.Pooling(x, pool=P.Pooling.MAX, kernel_size=3, stride=1, pad=1)
    d = convolve(n, f"{name}_pool_proj", n[f"{name}_pool"], pooled, 1)
    n[f"{name}_output"] = L.Concat(a, b, c, d)
    return n[f"{name}_output"]


def auxiliary(n: NetSpec, name: str, x: Any) -> None:
    """A classifier on a middle layer, whose loss counts 0.3."""
    n[f"{name}_pool"] = L.Pooling(x, pool=P.Pooling.AVE, kernel_size=5, stride=3)
    y = convolve(n, f"{name}_conv", n[f"{name}_pool"], 128, 1)
    n[f"{name}_fc"] = L.InnerProduct(y, num_output=1024)
    n[f"{name}_relu"] = L.ReLU(n[f"{name}_fc"], in_place=True)
    n[f"{name}_drop"] = L.Dropout(n[f"{name}_relu"], dropout_ratio=0.7, in_place=True)
    n[f"{name}_classifier"] = L.InnerProduct(n[f"{name}_drop"], num_output=1000)
    n[name] = L.SoftmaxWithLoss(n[f"{name}_classifier"], n.label, loss_weight=0.3)
