"""The page about a training: one HTML file with its style and its plots in it, and no script.

The browser loads it anew every second while the training lasts. Spark's UI allows no scripts in
pages like this one, and none is needed.
"""

from __future__ import annotations

import math
import time
from html import escape

from .course import Course, Points

WIDTH, HEIGHT, LEFT, RIGHT, BELOW = 560, 220, 56, 26, 24  # of a plot
TICKS = 4

STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #66727f; --line: #d5dbe1;
        --back: #ffffff; --card: #f5f7f9; --mark: #1668b0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ee; --soft: #98a5b3; --line: #39434e; --back: #15191e; --card: #1e242b;
          --mark: #5fb0f5; } }
.minicaffe { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back);
             max-width: 1180px; margin: 0 auto; padding: 1.2rem; }
.minicaffe h1 { font-size: 1.25rem; margin: 0 0 .2rem; }
.minicaffe p { margin: .2rem 0 .8rem; color: var(--soft); }
.minicaffe .bar { height: .5rem; background: var(--line); border-radius: .25rem; overflow: hidden; }
.minicaffe .bar div { height: 100%; background: var(--mark); }
.minicaffe .facts { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
.minicaffe .facts div { background: var(--card); border-radius: .4rem; padding: .5rem .9rem; }
.minicaffe .facts b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.minicaffe .facts span, .minicaffe th { color: var(--soft); font-size: .85rem;
                                        font-weight: normal; }
.minicaffe .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.minicaffe svg { background: var(--card); border-radius: .4rem; max-width: 100%; }
.minicaffe svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.minicaffe svg .grid { stroke: var(--line); }
.minicaffe svg polyline { stroke: var(--mark); stroke-width: 1.8; fill: none; }
.minicaffe svg circle { fill: var(--mark); }
.minicaffe table { border-collapse: collapse; margin-top: 1rem; width: 100%; }
.minicaffe th, .minicaffe td { text-align: left; padding: .3rem .8rem .3rem 0;
                               border-bottom: 1px solid var(--line); }
"""


def page(course: Course) -> str:
    """The whole file."""
    again = '<meta http-equiv="refresh" content="1">' if course.running else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(course.title)}</title>"
        f"<style>body {{ margin: 0; }} html {{ background: var(--back); }}</style></head>"
        f"<body>{fragment(course)}</body></html>\n"
    )


def fragment(course: Course) -> str:
    """What a page is made of, for a notebook too."""
    done = int(course.latest.get("iteration", 0))
    share = min(done / max(course.max_iter, 1), 1.0)
    plots = [plot("loss", course.train)]
    plots += [plot(f"test: {name}", points) for name, points in course.tests.items()]
    clock = time.strftime("%H:%M:%S", time.localtime(course.updated))
    return (
        f'<style>{STYLE}</style><div class="minicaffe"><h1>{escape(course.title)}</h1>'
        f"<p>{escape(course.state)} &middot; {clock}</p>"
        f'<div class="bar"><div style="width:{share:.1%}"></div></div>'
        f'<div class="facts">{"".join(_facts(course, done))}</div>'
        f'<div class="plots">{"".join(plots)}</div>{_ranks(course)}</div>'
    )


def _facts(course: Course, done: int) -> list[str]:
    latest = course.latest
    facts = {"iteration": f"{done} of {course.max_iter}"}
    if latest:
        facts |= {
            "loss": f"{latest['loss']:.4g}",
            "learning rate": f"{latest['learning_rate']:.3g}",
            "samples/s": f"{latest['samples_per_second']:.0f}",
            "communication": f"{latest['communication']:.0%}",
        }
    return [f"<div><span>{name}</span><b>{value}</b></div>" for name, value in facts.items()]


def _ranks(course: Course) -> str:
    names = ("rank", "host", "process", "iteration", "doing", "silent")
    heads = ("rank", "host", "process", "iteration", "what it does", "last heard of")
    rows = []
    for rank in course.ranks:
        cells = {**rank, "silent": f"{rank['silent']:.0f} s ago"}
        shown = ("" if cells[name] is None else escape(str(cells[name])) for name in names)
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in shown)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def plot(title: str, points: Points) -> str:
    """A curve as SVG, with ticks at round numbers."""
    texts = [f'<text x="{LEFT}" y="16">{escape(title)}</text>']
    marks = []
    if points:
        x_ticks = ticks(points[0][0], points[-1][0])
        y_ticks = ticks(min(y for _, y in points), max(y for _, y in points))
        x_low, x_high = min(points[0][0], x_ticks[0]), max(points[-1][0], x_ticks[-1])
        y_low, y_high = y_ticks[0], y_ticks[-1]

        def place(x: float, y: float) -> tuple[float, float]:
            across = (x - x_low) / ((x_high - x_low) or 1) * (WIDTH - LEFT - RIGHT)
            up = (y - y_low) / ((y_high - y_low) or 1) * (HEIGHT - BELOW - 32)
            return LEFT + across, HEIGHT - BELOW - up

        for value in y_ticks:
            _, y = place(x_low, value)
            marks.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            texts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in x_ticks:
            x, _ = place(value, y_low)
            texts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="middle">{value:g}</text>'
            )
        places = [place(*point) for point in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks.append(f'<polyline points="{line}"/>')
        marks.append('<circle r="3" cx="{:.1f}" cy="{:.1f}"/>'.format(*places[-1]))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
        f' aria-label="{escape(title)}">{"".join(marks)}{"".join(texts)}</svg>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) around a range, TICKS or some more."""
    span = (high - low) or abs(low) or 1.0
    rough = span / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]
