"""The report as pictures: times of sums by length, shares of trainings, devices beside links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .places import BITS, LOOPBACK
from .tables import in_words, places_of

COLOURS = {
    "tcp": "tab:blue", "unix": "tab:green", "shm": "tab:red", "gloo": "tab:orange",
    "mpi": "tab:purple", "rdma": "tab:brown", "auto": "black",
}  # fmt: skip
SHADES = ("lightgrey", "tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple")


def draw(report: dict[str, Any], folder: Path) -> list[str]:
    """sums.png, training.png and devices.png, of what there is; their names."""
    import matplotlib

    matplotlib.use("Agg")
    drawn = []
    for name, records, plot in (
        ("sums", report["sums"], plot_sums),
        ("training", report["runs"], plot_training),
        ("devices", report["devices"], plot_devices),
    ):
        if records:
            plot(records, folder / f"{name}.png")
            drawn.append(f"{name}.png")
    return drawn


def plot_sums(records: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel a place and number of ranks: milliseconds by bytes, both in powers of ten."""
    from matplotlib import pyplot

    pairs = places_of(records)
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (3.4 * columns, 2.7 * rows)
    figure, panels = pyplot.subplots(rows, columns, figsize=size, squeeze=False, sharex=True)
    for axes, (place, ranks) in zip(panels.flat, pairs, strict=False):
        chosen = [r for r in records if (r["place"], r["ranks"]) == (place, ranks)]
        for name in dict.fromkeys(record["contender"] for record in chosen):
            line = [record for record in chosen if record["contender"] == name]
            style = {"color": COLOURS.get(name), "markersize": 3, "linewidth": 1.2}
            xs, ys = [r["bytes"] for r in line], [r["ms"] for r in line]
            axes.loglog(xs, ys, "o-", label=name, **style)
        if place != LOOPBACK:
            lengths = sorted({record["bytes"] for record in chosen})
            least = [1e3 * 8 * 2 * n * (ranks - 1) / ranks / BITS[place] for n in lengths]
            axes.loglog(lengths, least, ":", color="black", linewidth=1, label="the link")
        axes.set_title(f"{place}, {ranks} ranks", fontsize=9)
        axes.grid(True, alpha=0.3)
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("bytes")
    for axes in panels.flat[len(pairs) :]:
        axes.set_visible(False)
    for row in panels:
        row[0].set_ylabel("ms")
    _legend(panels, panels[0][0])
    _save(figure, path)


def plot_training(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel a net, a group of bars a link and shape: computing, and what comes on top by way."""
    from matplotlib import pyplot, ticker

    nets = list(dict.fromkeys(run["net"] for run in runs))
    figure, panels = pyplot.subplots(1, len(nets), figsize=(4.4 * len(nets), 3.6), squeeze=False)
    for axes, net in zip(panels[0], nets, strict=True):
        chosen = [run for run in runs if run["net"] == net]
        groups = list(dict.fromkeys((r["hosts"], r["ranks"], r["place"]) for r in chosen))
        groups.sort(key=lambda group: (group[1], -group[0]))
        ways = list(dict.fromkeys(run["way"] for run in chosen))
        width = 0.8 / len(ways)
        for number, way in enumerate(ways):
            for place, group in enumerate(groups):
                for run in chosen:
                    if (run["hosts"], run["ranks"], run["place"], run["way"]) == (*group, way):
                        axes.bar(place + number * width, run["ms"], width, color=SHADES[number],
                                 label=way)  # fmt: skip
        names = [f"{hosts}x{ranks // hosts}\n{link.replace(' ', chr(10))}"
                 for hosts, ranks, link in groups]  # fmt: skip
        axes.set_xticks(
            [place + 0.4 - width / 2 for place in range(len(groups))], names, fontsize=7
        )
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.set_title(net, fontsize=9)
        axes.grid(True, axis="y", alpha=0.3)
    panels[0][0].set_ylabel("ms an iteration")
    _legend(panels, figure, loc="lower center", ncol=len(SHADES))
    _save(figure, path, below=0.07)


def plot_devices(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Horizontal bars: an iteration on devices that were timed, gradients on links."""
    from matplotlib import pyplot

    nets = list(dict.fromkeys(record["net"] for record in records))
    figure, panels = pyplot.subplots(1, len(nets), figsize=(5 * len(nets), 2.8), squeeze=False)
    for axes, net in zip(panels[0], nets, strict=True):
        timed = [r for r in records if r["net"] == net and r["ms"] is not None]
        bars = [(record["device"], record["ms"], "tab:blue") for record in timed]
        size = next(record["bytes"] for record in records if record["net"] == net)
        bars += [(f"gradients, {link}", 8e3 * size / bits, "tab:orange")
                 for link, bits in BITS.items()]  # fmt: skip
        axes.barh([b[0] for b in bars], [b[1] for b in bars], color=[b[2] for b in bars])
        axes.set_xscale("log")
        axes.set_xlabel("ms")
        axes.invert_yaxis()
        axes.set_title(f"{net}: {in_words(size)} of gradients", fontsize=9)
        axes.grid(True, axis="x", alpha=0.3)
    _save(figure, path)


def _legend(panels: Any, place: Any, **how: Any) -> None:
    """One legend for all panels, in one of them or below."""
    handles = {
        label: handle
        for axes in panels.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    place.legend(handles.values(), handles.keys(), fontsize=7, **how)


def _save(figure: Any, path: Path, below: float = 0.0) -> None:
    from matplotlib import pyplot

    figure.tight_layout(rect=(0, below, 1, 1))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
