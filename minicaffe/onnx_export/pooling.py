"""ONNX nodes of Pooling and SPP, with Caffe's number of windows and divisors.

ONNX rounds the number of windows down. The padding after the image is therefore made as large as
the last window needs, which is what Caffe's rounding up does:

    after = (windows - 1) stride + kernel - extent - pad, at least 0

Padding never wins a maximum, in either. An average is the sum over the window by kernel_h *
kernel_w here, by the part of the window inside the image and its padding in Caffe: windows that
stick out are corrected by a constant factor for each place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import FLOAT, Graph, Step

LOWEST = float(np.finfo(np.float32).min)


def pooling(graph: Graph, step: Step) -> list[str]:
    """The maximum or the mean of each window; the places of the maxima as second top."""
    layer = step.layer
    if layer.global_pooling and len(step.top_shapes) == 1:
        operator = "GlobalMaxPool" if layer.max else "GlobalAveragePool"
        return [graph.add(operator, step.bottom)]
    return _pool(graph, step, layer.window, layer.max, len(step.top_shapes))


def spp(graph: Graph, step: Step) -> list[str]:
    """The levels of the pyramid, flattened and joined."""
    layer = step.layer
    levels = [_pool(graph, step, level.window, layer.max)[0] for level in layer.levels]
    if len(levels) == 1:
        return levels
    flat = [graph.add("Flatten", level, axis=1) for level in levels]
    return [graph.add("Concat", *flat, axis=1)]


def _pool(graph: Graph, step: Step, window: Any, maximum: bool, tops: int = 1) -> list[str]:
    extents = step.shape[2:]
    counts = window.pooled(extents)
    kernel, stride, pad = window.kernel, window.stride, window.pad
    after = [
        max((counts[axis] - 1) * stride[axis] + kernel[axis] - extents[axis] - pad[axis], 0)
        for axis in (0, 1)
    ]
    x, pads = step.bottom, [*pad, *after]
    if any(each >= size for each, size in zip(pads, kernel * 2, strict=True)):
        # A window lies outside of the image: runtimes refuse such a padding in the operator.
        if tops > 1:
            raise step.layer.error("ONNX has no place for the maximum of an empty window")
        outside = graph.constant(LOWEST if maximum else 0.0)
        places = graph.integers([0, 0, *pad, 0, 0, *after])
        x, pads = graph.add("Pad", x, places, outside, mode="constant"), [0, 0, 0, 0]
    shape = {"kernel_shape": list(kernel), "strides": list(stride), "pads": pads}
    if maximum:
        made = graph.add_many("MaxPool", x, outputs=tops, **shape)
        return [made[0], *(_places(graph, each, extents) for each in made[1:])]
    mean = graph.add("AveragePool", x, count_include_pad=1, **shape)
    areas = _areas(window, extents, counts)
    if np.all(areas == math.prod(kernel)):
        return [mean]
    with np.errstate(divide="ignore"):
        return [graph.add("Mul", mean, graph.constant(math.prod(kernel) / areas))]


def _places(graph: Graph, indices: str, extents: tuple[int, ...]) -> str:
    """Places in the whole array as places in their plane, in float32."""
    plane = graph.add("Mod", indices, graph.integers([math.prod(extents)]))
    return graph.add("Cast", plane, to=FLOAT)


def _areas(window: Any, extents: tuple[int, ...], counts: tuple[int, int]) -> NDArray[np.float64]:
    """By how much Caffe divides the sum of each window, (out_h, out_w)."""
    sides: list[NDArray[np.float64]] = []
    for axis in (0, 1):
        start = np.arange(counts[axis]) * window.stride[axis] - window.pad[axis]
        end = np.minimum(start + window.kernel[axis], extents[axis] + window.pad[axis])
        sides.append((end - start).astype(np.float64))
    return sides[0][:, None] * sides[1]
