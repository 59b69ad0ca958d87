"""How each layer type is said in PyTorch.

A translation takes (layer, its parameters as tensors, whether in training, whether in place) and
returns a function of the bottoms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from minicaffe.proto import minicaffe_pb2 as pb

from . import graph

Parameters = list[torch.Tensor]
Operation = Callable[..., torch.Tensor]


def convolution(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    param = layer.convolution_param
    weight, bias = parameters[0], parameters[1] if param.bias_term else None
    stride, pad = graph.window(param, "stride", 1), graph.window(param, "pad", 0)
    return lambda x: F.conv2d(x, weight, bias, stride, pad, groups=param.group)


def inner_product(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    weight = parameters[0]
    bias = parameters[1] if layer.inner_product_param.bias_term else None
    return lambda x: F.linear(x.flatten(1), weight, bias)


def pooling(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    param = layer.pooling_param
    kernel = graph.window(param, "kernel_size", 0)
    stride, pad = graph.window(param, "stride", 1), graph.window(param, "pad", 0)
    if param.pool == pb.PoolingParameter.MAX:
        return lambda x: F.max_pool2d(x, kernel, stride, pad, ceil_mode=True)
    return lambda x: F.avg_pool2d(x, kernel, stride, pad, ceil_mode=True)


def lrn(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    param = graph.across_channels(layer)
    values = (param.local_size, param.alpha, param.beta, param.k)
    return lambda x: F.local_response_norm(x, *values)


def batch_norm(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    mean, variance, factor, *affine = parameters
    mean, variance = mean / factor, variance / factor
    weight, bias = affine if affine else (None, None)
    eps, momentum = layer.batch_norm_param.eps, 1 - layer.batch_norm_param.moving_average_fraction
    return lambda x: F.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)


def scale(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    weight, *rest = parameters
    if rest:
        return lambda x: x * weight.view(-1, 1, 1) + rest[0].view(-1, 1, 1)
    return lambda x: x * weight.view(-1, 1, 1)


def relu(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    slope = layer.relu_param.negative_slope
    if slope:
        return lambda x: F.leaky_relu(x, slope, inplace)
    return lambda x: F.relu(x, inplace)


def dropout(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    ratio = layer.dropout_param.dropout_ratio
    return lambda x: F.dropout(x, ratio, training)  # in place it would spoil what a ReLU has kept


def eltwise(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    operation = {
        pb.EltwiseParameter.SUM: torch.add,
        pb.EltwiseParameter.PROD: torch.mul,
        pb.EltwiseParameter.MAX: torch.maximum,
    }[layer.eltwise_param.operation]
    return lambda a, b: operation(a, b)


def softmax_with_loss(
    layer: Any, parameters: Parameters, training: bool, inplace: bool
) -> Operation:
    return lambda x, label: F.cross_entropy(x.flatten(1), label)


def sigmoid_cross_entropy_loss(
    layer: Any, parameters: Parameters, training: bool, inplace: bool
) -> Operation:
    return lambda x, target: (
        F.binary_cross_entropy_with_logits(x, target, reduction="sum") / x.shape[0]
    )


def euclidean_loss(layer: Any, parameters: Parameters, training: bool, inplace: bool) -> Operation:
    return lambda a, b: F.mse_loss(a, b, reduction="sum") / (2 * a.shape[0])


TRANSLATIONS: dict[str, Callable[..., Operation]] = {
    "BatchNorm": batch_norm,
    "Concat": lambda layer, *_: lambda *x: torch.cat(x, layer.concat_param.axis),
    "Convolution": convolution,
    "Dropout": dropout,
    "ELU": lambda layer, *_: lambda x: F.elu(x, layer.elu_param.alpha),
    "Eltwise": eltwise,
    "EuclideanLoss": euclidean_loss,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "PReLU": lambda layer, parameters, *_: lambda x: F.prelu(x, parameters[0]),
    "Pooling": pooling,
    "ReLU": relu,
    "Scale": scale,
    "Sigmoid": lambda *_: torch.sigmoid,
    "SigmoidCrossEntropyLoss": sigmoid_cross_entropy_loss,
    "Softmax": lambda layer, *_: lambda x: F.softmax(x, layer.softmax_param.axis),
    "SoftmaxWithLoss": softmax_with_loss,
    "TanH": lambda *_: torch.tanh,
}
