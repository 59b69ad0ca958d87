"""ONNX nodes of the layers that move values about, reduce them or bring them in."""

from __future__ import annotations

from .graph import FLOAT, INT64, Graph, Step

REDUCTIONS = {
    "SUM": "ReduceSum",
    "ASUM": "ReduceL1",
    "SUMSQ": "ReduceSumSquare",
    "MEAN": "ReduceMean",
}


def input(graph: Graph, step: Step) -> list[str]:
    """An input of the model; the values of a blob go by its name from the beginning."""
    return list(step.layer.param.top)


def parameter(graph: Graph, step: Step) -> list[str]:
    """A constant."""
    return [graph.parameter(step.layer.blobs[0])]


def dummy_data(graph: Graph, step: Step) -> list[str]:
    """Constants; random values have no ONNX form."""
    if any(filler.type != "constant" for filler in step.layer.fillers):
        raise step.layer.error("makes random values, which a model cannot: use an Input layer")
    pairs = zip(step.layer.fillers, step.top_shapes, strict=True)
    return [
        graph.add("Expand", graph.constant([filler.value]), graph.integers(shape))
        for filler, shape in pairs
    ]


def silence(graph: Graph, step: Step) -> list[str]:
    """Nothing."""
    return []


def split(graph: Graph, step: Step) -> list[str]:
    """One value under several names."""
    return [step.bottom] * len(step.top_shapes)


def concat(graph: Graph, step: Step) -> list[str]:
    """Values one after the other."""
    if len(step.bottoms) == 1:
        return [step.bottom]
    return [graph.add("Concat", *step.bottoms, axis=step.layer.along)]


def slice(graph: Graph, step: Step) -> list[str]:
    """A value cut along an axis."""
    tops, axis = step.top_shapes, step.layer.along
    if len(tops) == 1:
        return [step.bottom]
    lengths = graph.integers([shape[axis] for shape in tops])
    return graph.add_many("Split", step.bottom, lengths, outputs=len(tops), axis=axis)


def crop(graph: Graph, step: Step) -> list[str]:
    """A part of the first bottom; the second gave the extents."""
    starts = step.layer.offsets
    ends = [start + extent for start, extent in zip(starts, step.top_shapes[0], strict=True)]
    return [graph.add("Slice", step.bottom, graph.integers(starts), graph.integers(ends))]


def flatten(graph: Graph, step: Step) -> list[str]:
    """Another shape."""
    return reshape(graph, step)


def reshape(graph: Graph, step: Step) -> list[str]:
    """Another shape."""
    return [graph.reshape(step.bottom, step.shape, step.top_shapes[0])]


def tile(graph: Graph, step: Step) -> list[str]:
    """Copies along an axis."""
    repeats = [new // old for old, new in zip(step.shape, step.top_shapes[0], strict=True)]
    return [graph.add("Tile", step.bottom, graph.integers(repeats))]


def batch_reindex(graph: Graph, step: Step) -> list[str]:
    """Items by their numbers."""
    items = graph.add("Cast", step.bottoms[1], to=INT64)
    return [graph.add("Gather", step.bottom, items, axis=0)]


def reduction(graph: Graph, step: Step) -> list[str]:
    """The last axes to one number."""
    layer = step.layer
    axes = list(range(len(step.top_shapes[0]), len(step.shape)))
    operator = REDUCTIONS[layer.operation]
    if operator == "ReduceSum":  # the one that takes its axes as an input in opset 13
        value = graph.add(operator, step.bottom, graph.integers(axes), keepdims=0)
    else:
        value = graph.add(operator, step.bottom, axes=axes, keepdims=0)
    return [graph.affine(value, layer.coeff, 0)]


def argmax(graph: Graph, step: Step) -> list[str]:
    """The largest scores. Caffe prefers the last of equal ones, TopK the first: so turned round."""
    layer = step.layer
    _, classes, _ = layer.bottom_view
    scores, axis, shape = step.bottom, layer.class_axis, step.shape
    if axis is None:
        scores, axis = graph.add("Flatten", scores, axis=1), 1
        shape = (step.shape[0], classes)
    ends = [graph.integers([place]) for place in (-1, -classes - 1, axis, -1)]
    turned = graph.add("Slice", scores, *ends)
    count = graph.integers([layer.top_k])
    values, places = graph.add_many("TopK", turned, count, outputs=2, axis=axis)
    places = graph.add("Sub", graph.integers([classes - 1]), places)
    indices = graph.add("Cast", places, to=FLOAT)
    top = step.top_shapes[0]
    if layer.class_axis is not None:
        return [values if layer.out_max_val else indices]
    found = (shape[0], layer.top_k)
    if not layer.out_max_val:
        return [graph.reshape(indices, found, top)]
    rows = [graph.reshape(each, found, (shape[0], 1, layer.top_k)) for each in (indices, values)]
    joined = graph.add("Concat", *rows, axis=1)
    return [graph.reshape(joined, (shape[0], 2, layer.top_k), top)]
