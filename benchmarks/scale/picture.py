"""The picture of docs/scale.md: speed-up a rank against ranks, a column a net, a row a link."""

from __future__ import annotations

from pathlib import Path

from . import links, tables
from .speed_up import Plan, speed_up

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10000)
COLUMNS = (("googlenet", "k80"), ("caffenet", "k80"), ("resnet50", "p100"))
ROWS = ("ethernet-1", "ethernet-10", "infiniband-fdr")
GPUS = 8  # a host
SEED = 19  # the speed-up of the title of CaffeOnSpark's slide
WAYS = {  # colour, words
    "ring": ("C0", "flat ring"),
    "hierarchy": ("C2", "hierarchy"),
    "halving": ("C4", "halving and doubling"),
    "tree": ("C1", "binomial tree"),
    "mesh": ("C3", "CaffeOnSpark's mesh"),
    "sparknet": ("C5", "SparkNet, tau 10"),
}
VARIANTS = (  # whether buckets go early
    ("ring", True),
    ("ring", False),
    ("hierarchy", True),
    ("hierarchy", False),
    ("halving", True),
    ("tree", True),
    ("mesh", False),
    ("sparknet", False),
)
MOST = {  # where a way has too many messages to simulate all of them for a picture
    ("ring", True): 256,
    ("ring", False): 2048,
    ("tree", True): 256,
    ("hierarchy", True): 2048,
}


def label(way: str, early: bool) -> str:
    """A variant in words."""
    words = WAYS[way][1]
    return f"{words}, at the end" if not early and (way, True) in VARIANTS else words


def possible(plan: Plan, ranks: int) -> float | None:
    """The speed-up; None where a way would have to simulate too much to be drawn."""
    power = ranks & (ranks - 1) == 0
    if ranks > MOST.get((plan.way, plan.overlap), ranks) or (plan.way == "halving" and not power):
        return None
    return speed_up(plan, ranks)


def draw(path: Path) -> None:
    """Write it. Weak scaling, eight ranks a host; above the dotted line a speed-up exceeds SEED."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 10))
    axes = figure.subplots(len(ROWS), len(COLUMNS), sharex=True, sharey=True, squeeze=False)
    beyond = [SEED, *(ranks for ranks in RANKS if ranks > SEED)]
    for row, link in zip(axes, ROWS, strict=True):
        for each, (net, device) in zip(row, COLUMNS, strict=True):
            table = tables.load(net, device)
            each.plot(beyond, [100 * SEED / ranks for ranks in beyond], color="0.3", linewidth=1,
                      linestyle=":", label=f"a speed-up of {SEED}")  # fmt: skip
            for way, early in VARIANTS:
                plan = Plan(table, way, links.link_of(link), GPUS, overlap=early)
                points = [(ranks, 100 * reached / ranks) for ranks in RANKS
                          if (reached := possible(plan, ranks))]  # fmt: skip
                dashed = "--" if not early and (way, True) in VARIANTS else "-"
                each.plot(*zip(*points, strict=True), color=WAYS[way][0], linestyle=dashed,
                          label=label(way, early), linewidth=1.5)  # fmt: skip
            each.set_xscale("log")
            each.set_ylim(0, 104)
            each.grid(alpha=0.3)
            if link == ROWS[0]:
                size, alone = 4e-6 * table.parameters, 1e3 * table.work().compute
                each.set_title(
                    f"{net}, {device}, {table.batch} images a rank\n"
                    f"{size:.0f} MB, {alone:.0f} ms alone", fontsize=9
                )  # fmt: skip
            if link == ROWS[-1]:
                each.set_xlabel("ranks")
        row[0].set_ylabel(f"{link}\nspeed-up, % of ranks")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="lower center", ncols=5)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)
