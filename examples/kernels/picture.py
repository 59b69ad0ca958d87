"""The picture of a lesson: a bar for each step, and the machine's peak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .steps import Row


def plot(title: str, rows: Sequence[Row], path: Path) -> None:
    """Draw operations a second, on a logarithmic scale: each step is some times the one before."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(9, 0.42 * len(rows) + 1.4))
    speeds = [row.speed / 1e9 for row in rows]
    colours = ["tab:blue" if row.step.threads == 1 else "tab:green" for row in rows]
    axis.barh(range(len(rows)), speeds, color=colours, height=0.7, log=True)
    for place, speed in enumerate(speeds):
        axis.annotate(
            f"{speed:.3g}", (speed, place), (-4, 0), textcoords="offset points", color="white",
            ha="right", va="center",
        )  # fmt: skip
    peaks = sorted({(row.step.threads, row.peak / 1e9) for row in rows})
    for threads, peak in peaks:
        axis.axvline(peak, color="black" if threads == 1 else "tab:green", linestyle=":")
        axis.annotate(
            f"peak, {threads} thread{'s' if threads > 1 else ''}", (peak, 1), (-4, 3),
            xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8,
            ha="right" if threads == 1 else "left",
        )  # fmt: skip
    axis.set_yticks(range(len(rows)), [row.step.name for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(min(speeds) / 10, 2 * max(speeds + [peak for _, peak in peaks]))
    axis.set_xlabel("GFLOP/s")
    axis.set_title(title, pad=16)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
