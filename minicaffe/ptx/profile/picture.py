"""The picture of a profile: kernels under the roof of a GPU, and what their instructions are."""

from collections.abc import Sequence

from ...errors import extra
from .kinds import KINDS
from .report import Report


def draw(reports: Sequence[Report], path: str) -> None:
    """Draw kernels of one GPU into a file (.png, .svg). Raises MissingExtra without matplotlib."""
    figures = extra("matplotlib.figure", "plots", "drawing a profile")
    gpu = reports[0].gpu
    height = 2.5 + 0.35 * len(reports)
    figure = figures.Figure(figsize=(12, max(4.5, height)), layout="constrained")
    roof, bars = figure.subplots(1, 2)

    intensities = [max(report.intensity, 2.0**-6) for report in reports]
    low, high = min(*intensities, 2.0**-4) / 2, max(*intensities, gpu.balance) * 4
    marks = [low, gpu.balance, high]
    roof.loglog(marks, [min(gpu.flops, mark * gpu.bandwidth) / 1e12 for mark in marks], "k-")
    for report, intensity in zip(reports, intensities, strict=True):
        reached = min(gpu.flops, intensity * gpu.bandwidth) / 1e12
        roof.plot([intensity], [reached], "o")
        roof.annotate(
            report.name, (intensity, reached), (4, -10), textcoords="offset points", fontsize=8
        )
    roof.set_xlabel("FLOP for a byte that memory must move")
    roof.set_ylabel("TFLOP/s at most")
    roof.set_title(f"{gpu.name}: what limits each kernel")
    roof.grid(True, which="both", alpha=0.3)

    names = [f"{report.name} ({report.per_thread:.0f})" for report in reports]
    begin = [0.0] * len(reports)
    colours = extra("matplotlib", "plots", "drawing a profile").colormaps["tab20"]
    for number, kind in enumerate(KINDS):
        shares = [
            report.instructions.get(kind, 0.0) / max(report.per_thread, 1e-9) for report in reports
        ]
        if any(shares):
            bars.barh(names, shares, left=begin, label=kind, color=colours(number % 20))
            begin = [one + two for one, two in zip(begin, shares, strict=True)]
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.set_xlabel("share of instructions (instructions of a thread)")
    bars.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4)
    figure.savefig(path)
