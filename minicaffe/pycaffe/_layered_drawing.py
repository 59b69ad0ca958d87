"""Drawing a graph with matplotlib, where graphviz is not installed."""

from __future__ import annotations

import io
from typing import Any

from ..errors import extra
from ..net.layered_layout import MARGIN, Layout
from ..net.net_graph import Graph

FORMATS = ("png", "svg", "pdf")
FONT = 9  # points
LABELS: dict[str, dict[str, Any]] = {  # where an edge's label stands from the end of the edge
    "LR": {"xytext": (-10, 3), "ha": "right", "va": "bottom"},
    "RL": {"xytext": (10, 3), "ha": "left", "va": "bottom"},
    "TB": {"xytext": (6, 6), "ha": "left", "va": "bottom"},
    "BT": {"xytext": (6, -6), "ha": "left", "va": "top"},
}
LINE: dict[str, Any] = {"color": "black", "linewidth": 0.8, "zorder": 1}


def draw_graph(graph: Graph, rankdir: str, ext: str) -> bytes:
    """A picture's file of format `ext`, one of FORMATS. Raises MissingExtra without matplotlib."""
    pictures = extra("matplotlib.figure", "plots", "a picture of a net without graphviz")
    layout = Layout(graph, rankdir)
    left, bottom, right, top = layout.frame()
    figure = pictures.Figure(figsize=(right - left + 2 * MARGIN, top - bottom + 2 * MARGIN))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left - MARGIN, right + MARGIN), ylim=(bottom - MARGIN, top + MARGIN))
    axes.axis("off")
    boxes = _draw_nodes(axes, graph, layout)
    _draw_edges(axes, graph, layout, boxes, LABELS[rankdir])
    file = io.BytesIO()
    figure.savefig(file, format=ext, dpi=100)
    return file.getvalue()


def _draw_nodes(axes: Any, graph: Graph, layout: Layout) -> dict[str, Any]:
    """Draw the labelled boxes; the boxes by key."""
    from matplotlib.patches import FancyBboxPatch

    boxes = {}
    for key, node in graph.nodes.items():
        (x, y), (width, height) = layout.places[key], layout.sizes[key]
        rounding = 0.02 if node.style.get("shape") == "record" else 0.1
        boxes[key] = FancyBboxPatch(
            (x - width / 2 + rounding, y - height / 2 + rounding),
            width - 2 * rounding,
            height - 2 * rounding,
            boxstyle=f"round,pad={rounding}",
            facecolor=node.style.get("fillcolor", "white"),
            edgecolor="black",
            zorder=2,
        )
        axes.add_patch(boxes[key])
        text = "\n".join(node.lines).replace("$", r"\$")
        axes.text(x, y, text, fontsize=FONT, ha="center", va="center", zorder=3)
    return boxes


def _draw_edges(
    axes: Any, graph: Graph, layout: Layout, boxes: dict[str, Any], at: dict[str, Any]
) -> None:
    """Draw arrows from box to box, and their labels."""
    from matplotlib.patches import FancyArrowPatch

    both = {(source, target) for source, target, _ in graph.edges}
    for (source, target, label), points, place in zip(
        graph.edges, layout.paths, layout.labels, strict=True
    ):
        bend = 0.15 if (target, source) in both else 0.0  # a layer in place: there and back
        long = len(points) > 2
        if long:
            axes.plot(*zip(*points[:-1], strict=True), **LINE)
        axes.add_patch(
            FancyArrowPatch(
                points[-2],
                points[-1],
                connectionstyle=f"arc3,rad={bend}",
                patchA=None if long else boxes[source],
                patchB=boxes[target],
                shrinkA=0 if long else 2,
                arrowstyle="-|>",
                mutation_scale=10,
                **LINE,
            )
        )
        if label:
            axes.annotate(
                label,
                place,
                textcoords="offset points",
                fontsize=FONT - 1,
                zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
                **at,
            )
