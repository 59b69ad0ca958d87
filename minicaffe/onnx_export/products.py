"""ONNX nodes of the layers that multiply by a matrix of weights."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.blob import Shape

from .graph import INT64, Attribute, Graph, Step


def convolution(graph: Graph, step: Step) -> list[str]:
    """A Conv a bottom: the same filters for each."""
    return _convolutions(graph, step, "Conv")


def deconvolution(graph: Graph, step: Step) -> list[str]:
    """A ConvTranspose a bottom: the same filters for each, in ONNX's own order of axes."""
    return _convolutions(graph, step, "ConvTranspose")


def im2col(graph: Graph, step: Step) -> list[str]:
    """A convolution whose filters, one a tap of the window and channel, copy one value each."""
    window, channels = step.layer.window, step.layer.bottom_view[1]
    taps = math.prod(window.kernel)
    filters = np.tile(np.eye(taps), (channels, 1)).reshape(-1, 1, *window.kernel)
    image, columns = step.layer.bottom_view, step.layer.top_view
    made = graph.add(
        "Conv",
        graph.reshape(step.bottom, step.shape, image),
        graph.constant(filters),
        **_window(window, channels),
    )
    return [graph.reshape(made, columns, step.top_shapes[0])]


def _convolutions(graph: Graph, step: Step, operator: str) -> list[str]:
    layer = step.layer
    image, output = layer.bottom_view, layer.top_view
    attributes = _window(layer.window, layer.group)
    flat = len(image) == 2  # no spatial axis: ONNX wants one
    if flat:
        image, output = (*image, 1), (*output, 1)
        attributes |= {"kernel_shape": [1], "strides": [1], "dilations": [1], "pads": [0, 0]}
    weight = graph.parameter(layer.blobs[0], layer.blobs[0].data.read("cpu").shape + (1,) * flat)
    weights = [weight, *(graph.parameter(blob) for blob in layer.blobs[1:])]
    tops = []
    for bottom, shape, top_shape in zip(step.bottoms, step.shapes, step.top_shapes, strict=True):
        x = graph.reshape(bottom, shape, image)
        y = graph.add(operator, x, *weights, **attributes)
        tops.append(graph.reshape(y, output, top_shape))
    return tops


def _window(window: object, group: int) -> dict[str, Attribute]:
    kernel, stride, pad, dilation = (
        list(getattr(window, name)) for name in ("kernel", "stride", "pad", "dilation")
    )
    return {
        "kernel_shape": kernel,
        "strides": stride,
        "pads": pad + pad,  # before each axis, then after
        "dilations": dilation,
        "group": group,
    }


def inner_product(graph: Graph, step: Step) -> list[str]:
    """Samples as rows, times the weights."""
    layer = step.layer
    rows: Shape = (layer.samples, layer.inputs)
    x = step.bottom
    if step.shape != rows:
        x = graph.add("Flatten", x, axis=layer.first)
    weights = [graph.parameter(blob) for blob in layer.blobs]
    y = graph.add("Gemm", x, *weights, transB=int(not layer.transpose))
    return [graph.reshape(y, (layer.samples, layer.num_output), step.top_shapes[0])]


def embed(graph: Graph, step: Step) -> list[str]:
    """Rows of a table. Outside it a runtime stops too, but takes -1 for the last row."""
    index = graph.add("Cast", step.bottom, to=INT64)
    value = graph.add("Gather", graph.parameter(step.layer.blobs[0]), index, axis=0)
    if step.layer.bias_term:
        value = graph.add("Add", value, graph.parameter(step.layer.blobs[1]))
    return [value]
