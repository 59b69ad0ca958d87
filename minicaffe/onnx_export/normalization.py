"""ONNX nodes of the layers that normalise."""

from __future__ import annotations

import numpy as np

from .graph import Graph, Step


def batch_norm(graph: Graph, step: Step) -> list[str]:
    """By the stored mean and variance, divided by their factor; or by those of the batch."""
    layer = step.layer
    if layer.use_global_stats:
        means, variances, factor = (np.asarray(blob.data) for blob in layer.blobs)
        weight = np.float32(0) if factor[0] == 0 else 1 / factor[0]
        scale, shift = np.ones_like(means), np.zeros_like(means)
        arrays = (scale, shift, means * weight, variances * weight)
        constants = [graph.constant(array) for array in arrays]
        return [graph.add("BatchNormalization", step.bottom, *constants, epsilon=layer.eps)]
    axes = [0, *range(2, len(step.shape))]
    centred, variance = _centred(graph, step.bottom, axes)
    deviation = graph.add("Sqrt", graph.affine(variance, 1, layer.eps))
    return [graph.add("Div", centred, deviation)]


def mvn(graph: Graph, step: Step) -> list[str]:
    """Rows to mean 0 and deviation 1; eps is added to the deviation."""
    layer = step.layer
    value = graph.reshape(step.bottom, step.shape, layer.view)
    centred, variance = _centred(graph, value, [1], layer.normalize_variance)
    if layer.normalize_variance:
        deviation = graph.affine(graph.add("Sqrt", variance), 1, layer.eps)
        centred = graph.add("Div", centred, deviation)
    return [graph.reshape(centred, layer.view, step.shape)]


def _centred(graph: Graph, value: str, axes: list[int], variance: bool = True) -> tuple[str, str]:
    """A value less its mean over some axes, and (if asked for) its biased variance."""
    centred = graph.add("Sub", value, graph.add("ReduceMean", value, axes=axes))
    if not variance:
        return centred, ""
    return centred, graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=axes)


def lrn(graph: Graph, step: Step) -> list[str]:
    """Across channels ONNX has an operator; within, the mean of the squares by AveragePool."""
    layer = step.layer
    if not layer.within:
        strength = {"alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}
        return [graph.add("LRN", step.bottom, size=layer.size, **strength)]
    squares = graph.add("Mul", step.bottom, step.bottom)
    window = {"kernel_shape": [layer.size] * 2, "pads": [layer.size // 2] * 4}
    mean = graph.add("AveragePool", squares, count_include_pad=1, **window)
    energy = graph.affine(mean, layer.alpha, layer.k)
    return [graph.add("Mul", step.bottom, graph.add("Pow", energy, graph.constant(-layer.beta)))]


def softmax(graph: Graph, step: Step) -> list[str]:
    """Along one axis."""
    return [graph.add("Softmax", step.bottom, axis=step.layer.class_axis)]
