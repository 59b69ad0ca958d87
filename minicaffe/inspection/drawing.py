"""The net as boxes and arrows, with shapes on the arrows, from top to bottom."""

from __future__ import annotations

from ..net.layered_layout import MARGIN, Layout
from ..net.net import Net
from ..net.net_graph import net_graph
from .net_facts import Box, Edge, Graph

UNITS = 96.0  # of the drawing, an inch: CSS's pixels
Places = tuple[float, float]


def draw(net: Net) -> Graph:
    """The layers of a built net, those that it put in too, and its blobs."""
    shapes = {name: " x ".join(map(str, blob.shape)) or "scalar"
              for name, blob in net.blob_dict.items()}  # fmt: skip
    graph = net_graph(net.param, shapes=shapes)
    layout = Layout(graph, "TB")
    left, bottom, right, top = layout.frame()

    def at(place: Places) -> Places:
        """From the layout's inches, y upwards, to the drawing's units, y downwards."""
        return _round(place[0] - left + MARGIN), _round(top - place[1] + MARGIN)

    layers = {f"{layer.name}_{layer.type}": layer.name for layer in net.param.layer}
    boxes = tuple(
        Box(
            key,
            "layer" if key in layers else "blob",
            layers.get(key, key.removesuffix("_blob")),
            node.lines,
            *at(layout.places[key]),
            *map(_round, layout.sizes[key]),
        )
        for key, node in graph.nodes.items()
    )
    edges = tuple(
        Edge(source, target, label, tuple(map(at, path)), *at(place))
        for (source, target, label), path, place in zip(
            graph.edges, layout.paths, layout.labels, strict=True
        )
    )
    width, height = right - left + 2 * MARGIN, top - bottom + 2 * MARGIN
    return Graph(_round(width), _round(height), boxes, edges)


def _round(inches: float) -> float:
    return round(UNITS * inches, 1)
