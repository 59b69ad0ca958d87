"""Single layers: the convolutions and products of well-known nets, and the layers around them.

Convolutions and products are limited by arithmetic, the others mostly by memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import format_text
from minicaffe.pycaffe.net_spec import NetSpec

from .cases import BACKWARD, FORWARD, UPDATE, Case
from .models import L, cifar10_quick, lenet, resnet50

Shape = tuple[int, ...]

# name, shape of the images, filters, and the other fields of convolution_param
CONVOLUTIONS: tuple[tuple[str, Shape, int, dict[str, int]], ...] = (
    ("LeNet conv1", (64, 1, 28, 28), 20, {"kernel_size": 5}),
    ("LeNet conv2", (64, 20, 12, 12), 50, {"kernel_size": 5}),
    ("CIFAR-10 quick conv1", (100, 3, 32, 32), 32, {"kernel_size": 5, "pad": 2}),
    ("CIFAR-10 quick conv2", (100, 32, 16, 16), 32, {"kernel_size": 5, "pad": 2}),
    ("CIFAR-10 quick conv3", (100, 32, 8, 8), 64, {"kernel_size": 5, "pad": 2}),
    ("CaffeNet conv1", (16, 3, 227, 227), 96, {"kernel_size": 11, "stride": 4}),
    ("CaffeNet conv2", (16, 96, 27, 27), 256, {"kernel_size": 5, "pad": 2, "group": 2}),
    ("CaffeNet conv3", (16, 256, 13, 13), 384, {"kernel_size": 3, "pad": 1}),
    ("CaffeNet conv4", (16, 384, 13, 13), 384, {"kernel_size": 3, "pad": 1, "group": 2}),
    ("CaffeNet conv5", (16, 384, 13, 13), 256, {"kernel_size": 3, "pad": 1, "group": 2}),
    ("VGG conv1_2", (2, 64, 224, 224), 64, {"kernel_size": 3, "pad": 1}),
    ("VGG conv3_2", (4, 256, 56, 56), 256, {"kernel_size": 3, "pad": 1}),
    ("VGG conv4_2", (4, 512, 28, 28), 512, {"kernel_size": 3, "pad": 1}),
    ("VGG conv5_2", (4, 512, 14, 14), 512, {"kernel_size": 3, "pad": 1}),
    ("ResNet conv1, 7x7", (8, 3, 224, 224), 64, {"kernel_size": 7, "pad": 3, "stride": 2}),
    ("ResNet 1x1, 256 to 64", (8, 256, 56, 56), 64, {"kernel_size": 1}),
    ("ResNet 1x1, 64 to 256", (8, 64, 56, 56), 256, {"kernel_size": 1}),
    ("ResNet 1x1, 1024 to 256", (8, 1024, 14, 14), 256, {"kernel_size": 1}),
    ("ResNet 1x1, 512 to 1024, stride 2", (8, 512, 28, 28), 1024, {"kernel_size": 1, "stride": 2}),
    ("ResNet 3x3, 64", (8, 64, 56, 56), 64, {"kernel_size": 3, "pad": 1}),
    ("ResNet 3x3, 128", (8, 128, 28, 28), 128, {"kernel_size": 3, "pad": 1}),
    ("ResNet 3x3, 256", (8, 256, 14, 14), 256, {"kernel_size": 3, "pad": 1}),
    ("ResNet 3x3, 512", (8, 512, 7, 7), 512, {"kernel_size": 3, "pad": 1}),
    ("MobileNet depthwise, 32", (8, 32, 112, 112), 32, {"kernel_size": 3, "pad": 1, "group": 32}),
    (
        "MobileNet depthwise, 64, stride 2",
        (8, 64, 112, 112),
        64,
        {"kernel_size": 3, "pad": 1, "stride": 2, "group": 64},
    ),
    ("MobileNet depthwise, 256", (8, 256, 28, 28), 256, {"kernel_size": 3, "pad": 1, "group": 256}),
    ("MobileNet depthwise, 512", (8, 512, 14, 14), 512, {"kernel_size": 3, "pad": 1, "group": 512}),
)

# name, shape of the bottom, outputs
PRODUCTS: tuple[tuple[str, Shape, int], ...] = (
    ("LeNet ip1", (64, 800), 500),
    ("LeNet ip2", (64, 500), 10),
    ("CaffeNet fc6", (16, 9216), 4096),
    ("CaffeNet fc8", (16, 4096), 1000),
    ("ResNet fc1000", (8, 2048), 1000),
)

MAX, AVE = pb.PoolingParameter.MAX, pb.PoolingParameter.AVE
PROD, BIGGEST = pb.EltwiseParameter.PROD, pb.EltwiseParameter.MAX

# name, type, shapes of the bottoms (a loss: without that of its labels), the type's parameters
OTHERS: tuple[tuple[str, str, tuple[Shape, ...], dict[str, Any]], ...] = (
    ("ReLU", "ReLU", ((16, 96, 55, 55),), {}),
    ("PReLU", "PReLU", ((16, 96, 55, 55),), {}),
    ("ELU", "ELU", ((16, 96, 55, 55),), {}),
    ("Sigmoid", "Sigmoid", ((16, 96, 55, 55),), {}),
    ("TanH", "TanH", ((16, 96, 55, 55),), {}),
    ("LeNet pool1, MAX 2x2", "Pooling", ((64, 20, 24, 24),),
     {"pool": MAX, "kernel_size": 2, "stride": 2}),
    ("CaffeNet pool1, MAX 3x3", "Pooling", ((16, 96, 55, 55),),
     {"pool": MAX, "kernel_size": 3, "stride": 2}),
    ("CIFAR-10 quick pool2, AVE 3x3", "Pooling", ((100, 32, 16, 16),),
     {"pool": AVE, "kernel_size": 3, "stride": 2}),
    ("ResNet pool5, AVE 7x7", "Pooling", ((8, 2048, 7, 7),), {"pool": AVE, "kernel_size": 7}),
    ("CaffeNet norm1, LRN", "LRN", ((16, 96, 27, 27),),
     {"local_size": 5, "alpha": 1e-4, "beta": 0.75}),
    ("ResNet BatchNorm, 64", "BatchNorm", ((8, 64, 56, 56),), {}),
    ("ResNet BatchNorm, 512", "BatchNorm", ((8, 512, 7, 7),), {}),
    ("ResNet Scale, 64", "Scale", ((8, 64, 56, 56),), {"bias_term": True}),
    ("Eltwise SUM", "Eltwise", ((8, 256, 56, 56),) * 2, {}),
    ("Eltwise PROD", "Eltwise", ((8, 256, 56, 56),) * 2, {"operation": PROD}),
    ("Eltwise MAX", "Eltwise", ((8, 256, 56, 56),) * 2, {"operation": BIGGEST}),
    ("GoogLeNet Concat", "Concat",
     ((8, 64, 28, 28), (8, 128, 28, 28), (8, 32, 28, 28), (8, 32, 28, 28)), {}),
    ("Softmax, 256 x 1000", "Softmax", ((256, 1000),), {}),
    ("Softmax over channels", "Softmax", ((4, 21, 128, 128),), {}),
    ("SoftmaxWithLoss, 64 x 10", "SoftmaxWithLoss", ((64, 10),), {}),
    ("SoftmaxWithLoss, 256 x 1000", "SoftmaxWithLoss", ((256, 1000),), {}),
    ("SigmoidCrossEntropyLoss", "SigmoidCrossEntropyLoss", ((256, 1000),), {}),
    ("EuclideanLoss", "EuclideanLoss", ((256, 1000),), {}),
)  # fmt: skip


def one_layer(layer_type: str, shapes: tuple[Shape, ...], parameters: dict[str, Any]) -> str:
    """The prototxt of a net of one layer, in training; a loss gets labels or targets."""
    n = NetSpec()
    bottoms = []
    for index, shape in enumerate(shapes):
        n[f"x{index}"] = L.Input(shape={"dim": list(shape)})
        bottoms.append(n[f"x{index}"])
    if layer_type == "SoftmaxWithLoss":
        n.label = L.Input(shape={"dim": list(shapes[0][:1])})
        bottoms.append(n.label)
    elif layer_type.endswith("Loss"):
        n.target = L.Input(shape={"dim": list(shapes[0])})
        bottoms.append(n.target)
    n.y = getattr(L, layer_type)(*bottoms, **parameters)
    return format_text(n.to_proto())


# Their gradients are views of dy in other libraries, which copy nothing: no work to compare.
FORWARD_ONLY = {"Eltwise SUM", "GoogLeNet Concat"}


def convolutions() -> Iterator[Case]:
    """Every convolution, forward and backward."""
    for name, shape, filters, parameters in CONVOLUTIONS:
        net = one_layer("Convolution", (shape,), {"num_output": filters, **parameters})
        for work in (FORWARD, BACKWARD):
            yield Case("convolution", f"{name}, batch {shape[0]}", net, work)


def products() -> Iterator[Case]:
    """Every inner product, forward and backward."""
    for name, shape, outputs in PRODUCTS:
        net = one_layer("InnerProduct", (shape,), {"num_output": outputs})
        for work in (FORWARD, BACKWARD):
            yield Case("inner_product", f"{name}, batch {shape[0]}", net, work)


def others() -> Iterator[Case]:
    """Every other layer, forward and backward."""
    for name, layer_type, shapes, parameters in OTHERS:
        net = one_layer(layer_type, shapes, parameters)
        for work in (FORWARD,) if name in FORWARD_ONLY else (FORWARD, BACKWARD):
            yield Case("layers", name, net, work, classes=shapes[0][1])


def updates() -> Iterator[Case]:
    """The SGD update of all parameters of a net."""
    for model in (lenet, cifar10_quick, resnet50):
        param = model.net(1)
        yield Case("update", f"{param.name}'s parameters", format_text(param), UPDATE)
