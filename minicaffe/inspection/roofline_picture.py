"""The roofline as SVG: layers by what they compute for each byte, below what the device reaches.

Text stays text, in the page's own fonts; lines and letters have the page's own colours, variables
of its styles; each point is a group `roof-0`, `roof-1`, ... in the order of `Roofline.points`.
"""

from __future__ import annotations

import io
import re
from typing import Any

from ..errors import extra
from .net_facts import Point, Roofline

SIZE = (8.4, 4.6)  # inches
LABELS = 14  # the most names beside points
# Colours that stand for variables of the page's styles until the picture is in it.
COLOURS = {
    "#010101": "ink", "#020202": "dim", "#030303": "rule", "#040404": "forward",
    "#050505": "backward", "#060606": "roof",
}  # fmt: skip
INK, DIM, RULE, FORWARD, BACKWARD, ROOF = COLOURS
MARKS = {"forward": ("o", FORWARD), "backward": ("v", BACKWARD), "update": ("s", DIM)}


def draw_roofline(roofline: Roofline) -> str:
    """An <svg> element; empty where nothing was measured. Raises MissingExtra."""
    if roofline.missing or not roofline.points:
        return ""
    matplotlib = extra("matplotlib", "inspect", "the inspector's page")
    pictures = extra("matplotlib.figure", "inspect", "the inspector's page")
    settings = {
        "svg.fonttype": "none", "svg.hashsalt": "roofline", "font.family": ["sans-serif"],
        "font.size": 9, "text.parse_math": False, "axes.edgecolor": RULE, "text.color": INK,
        "axes.labelcolor": DIM, "xtick.color": DIM, "ytick.color": DIM,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = pictures.Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        _draw_roof(axes, roofline)
        _draw_points(axes, roofline.points)
        _name_points(figure, axes, roofline.points)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _for_the_page(file.getvalue())


def _draw_roof(axes: Any, roofline: Roofline) -> None:
    """Both limits, the axes and their words."""
    peak, rate = roofline.peak_gflops, roofline.bandwidth_gb_s
    ridge = peak / rate
    known = [point for point in roofline.points if point.intensity > 0 and point.gflops > 0]
    low = min([ridge, *(point.intensity for point in known)]) / 2
    high = max([ridge, *(point.intensity for point in known)]) * 3
    floor = min([peak, *(point.gflops for point in known)]) / 3
    top = max([peak, *(point.gflops for point in known)]) * 2.5
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(floor, top))
    axes.set(xlabel="operations for each byte that must move", ylabel="operations a second (10⁹)")
    axes.plot([low, ridge, high], [low * rate, peak, peak], color=ROOF, linewidth=1.4, zorder=1)
    axes.grid(True, which="major", color=RULE, linewidth=0.5, alpha=0.6)
    plain = _plain_number
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.annotate(f"gemm reaches {peak:.3g}", (high, peak), xytext=(-4, 4),
                  textcoords="offset points", ha="right", va="bottom", color=DIM)  # fmt: skip
    axes.annotate(f"copies reach {rate:.3g} GB/s", (ridge / 2, peak / 2), xytext=(-8, 2),
                  textcoords="offset points", ha="right", va="bottom", color=DIM)  # fmt: skip


def _plain_number(value: float, _: int) -> str:
    """A tick's label: 0.01, 1, 1,000."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _draw_points(axes: Any, points: tuple[Point, ...]) -> None:
    """A mark for each pass of a layer, under its own name."""
    for number, point in enumerate(points):
        mark, colour = MARKS[point.pass_]
        (line,) = axes.plot([point.intensity], [point.gflops], mark, color=colour, markersize=6,
                            markeredgewidth=0, alpha=0.85, zorder=3)  # fmt: skip
        line.set_gid(f"roof-{number}")


def _name_points(figure: Any, axes: Any, points: tuple[Point, ...]) -> None:
    """Names beside the points, from the top, as long as none covers another."""
    taken: list[tuple[float, float, float, float]] = []
    figure.draw_without_rendering()
    places = [axes.transData.transform((point.intensity, point.gflops)) for point in points]
    for point, (x, y) in sorted(zip(points, places, strict=True), key=lambda pair: -pair[0].gflops):
        words = f"{point.layer} {'→' if point.pass_ == 'forward' else '←'}"
        box = (x + 5, y - 6, x + 12 + 6.4 * len(words), y + 6)
        covered = any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
            for other in taken
        ) or any(box[0] < px < box[2] and box[1] < py < box[3] for px, py in places)
        if len(taken) < LABELS and not covered and box[2] < axes.bbox.x1:
            taken.append(box)
            axes.annotate(words, (point.intensity, point.gflops), xytext=(6, 0), fontsize=8,
                          textcoords="offset points", va="center")  # fmt: skip


def _for_the_page(svg: str) -> str:
    """The element alone, without a size of its own, in the page's colours and fonts."""
    svg = svg[svg.index("<svg") :]
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    label = 'role="img" aria-label="Roofline: layers below what the device reaches"'
    svg = f'<svg class="roofline" {box[0] if box else ""} {label}>{rest}'
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would rule the whole page
    svg = re.sub(r"font-family: [^;\"]*;", "", svg)
    for colour, name in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg
