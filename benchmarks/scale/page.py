"""Fill docs/scale.md: tables between marks, and the picture, all from one run of the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from . import check, links, picture, tables
from .model import Stragglers
from .speed_up import Plan, least_ranks, seconds, speed_up

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "scale.md"
COLUMNS = (2, 4, 8, 16, 32, 128, 1024, 4096, 10000)
WANTED = 19.0
CASES = (
    ("googlenet", "k80", 8),
    ("caffenet", "k80", 8),
    ("resnet50", "k80", 8),
    ("resnet50", "p100", 8),
    ("lenet", "cpu", 1),
    ("cifar10_quick", "cpu", 1),
)
REACH_WAYS = ("hierarchy", "mesh", "sparknet")
ANCESTOR = (8, 16, 24, 32, 64)  # ranks; 32 are four servers of eight GPUs
GPUS = 8  # a host
TENSORFLOW = {8: 7.2, 16: 14.3, 32: 26.5, 64: 52.4}  # of 52.4 images/s; EC2's p2.8xlarge
CAFFE = {2: 1.8, 4: 3.5}  # of several nets, on average
PUBLISHED = (
    ("TensorFlow", "resnet50", "k80", "ethernet-10", ("hierarchy", "mesh"), TENSORFLOW),
    ("Caffe", "googlenet", "titanx", "ethernet-1", ("mesh",), CAFFE),
    ("Caffe", "caffenet", "titanx", "ethernet-1", ("mesh",), CAFFE),
)


def digits(value: float | None) -> str:
    """Three digits, all of them before the point where there are more."""
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def rows(heads: list[str], lines: list[list[str]]) -> str:
    """A table."""
    cells = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(line)} |".replace("| --- ", "|---") for line in cells)


def layer_times() -> str:
    """The nets, and where their times come from."""
    lines = []
    for net in tables.nets():
        table, work = tables.load(net), tables.load(net).work()
        kept = json.loads((tables.FOLDER / f"{net}.json").read_text(encoding="utf-8"))
        backward = work.compute - work.forward - work.update
        lines.append([
            net, str(table.batch), f"{4e-6 * table.parameters:.1f}", str(len(table.buckets())),
            *(digits(1e3 * each) for each in (work.forward, backward, work.update)),
            f"{kept['machine']}; load {kept['load'].split()[0]}",
        ])  # fmt: skip
    heads = ["net", "batch", "MB", "buckets", "forward, ms", "backward", "update", "a thread of"]
    return rows(heads, lines)


def scaling() -> str:
    """Weak scaling by ways, on the net and GPU of the ancestor's time."""
    table, lines = tables.load("googlenet", "k80"), []
    for name in ("ethernet-1", "ethernet-10", "ethernet-25", "infiniband-fdr", "infiniband-hdr"):
        for way, early in picture.VARIANTS:
            plan = Plan(table, way, links.link_of(name), GPUS, overlap=early)
            show = speed_up if way == "hierarchy" else picture.possible
            reached = (show(plan, ranks) for ranks in COLUMNS)
            lines.append([name, picture.label(way, early), *map(digits, reached)])
    return rows(["link", "way", *map(str, COLUMNS)], lines)


def strong() -> str:
    """1,024 images in all, on GPUs and links of 2016 and of some years later."""
    lines, counts = [], [ranks for ranks in COLUMNS if ranks <= 1024]
    for net, device in (("googlenet", "k80"), ("caffenet", "k80"), ("resnet50", "p100")):
        for name in ("ethernet-10", "ethernet-100", "infiniband-fdr", "infiniband-hdr"):
            plan = Plan(tables.load(net, device), "hierarchy", links.link_of(name), GPUS, 1024)
            reached = (speed_up(plan, count) for count in counts)
            lines.append([f"{net}, {device}", name, *map(digits, reached)])
    return rows(["net", "link", *map(str, counts)], lines)


def reach() -> str:
    """The fewest ranks with the speed-up that is wanted, by net, link and way."""
    lines = []
    for net, device, per_host in CASES:
        for link in links.KNOWN.values():
            plans = [Plan(tables.load(net, device), way, link, per_host) for way in REACH_WAYS]
            fewest = (least_ranks(plan, WANTED) for plan in plans)
            lines.append(
                [f"{net}, {device}", link.name, *(str(each or "never") for each in fewest)]
            )
    return rows(["net", "link", *REACH_WAYS], lines)


def ancestor() -> str:
    """CaffeOnSpark's own way on its servers: eight GK210 each."""
    lines = []
    for net in ("googlenet", "caffenet"):
        for name in ("ethernet-1", "ethernet-10", "caffeonspark-rdma", "infiniband-fdr"):
            plan = Plan(tables.load(net, "k80"), "mesh", links.link_of(name), GPUS)
            lines.append([net, name, *(digits(speed_up(plan, ranks)) for ranks in ANCESTOR)])
    return rows(["net", "link", *(f"{ranks} GPUs" for ranks in ANCESTOR)], lines)


def stragglers() -> str:
    """What uneven ranks cost: the mean of ten iterations."""
    lines, counts = [], (2, 8, 64, 512, 4096)
    for spread in (0.0, 0.02, 0.05, 0.1, 0.2):
        plan = Plan(tables.load("googlenet", "k80"), "halving", links.link_of("infiniband-fdr"),
                    stragglers=Stragglers(spread), iterations=10)  # fmt: skip
        alone = plan._replace(stragglers=Stragglers())
        reached = (count * seconds(alone, 1) / seconds(plan, count) for count in counts)
        lines.append([f"{spread:g}", *map(digits, reached)])
    return rows(["spread", *(f"{count} ranks" for count in counts)], lines)


def published() -> str:
    """Speed-ups that others measured on clusters, beside the model's."""
    lines = []
    for what, net, device, link, ways, measured in PUBLISHED:
        for way in ways:
            plan = Plan(tables.load(net, device), way, links.link_of(link), GPUS)
            pairs = (
                f"{there:g} / {digits(speed_up(plan, ranks))}" for ranks, there in measured.items()
            )
            at = ", ".join(str(ranks) for ranks in measured)
            lines.append([what, f"{net}, {device}, {link}", way, at, ", ".join(pairs)])
    return rows(["measured by", "model", "way", "ranks", "measured / model"], lines)


PICTURE = "picture"
PARTS: dict[str, Callable[[], str]] = {
    "layers": layer_times,
    "check": lambda: check.report(check.rows()),
    "scaling": scaling,
    "strong": strong,
    "reach": reach,
    "ancestor": ancestor,
    "stragglers": stragglers,
    "published": published,
}


def fill(names: Sequence[str] = (), page: Path = PAGE) -> None:
    """Put these parts, or all, between their marks; draw the picture beside the page."""
    wanted = [name for name in PARTS if not names or name in names]
    made = {name: PARTS[name]() for name in wanted}
    if not names or PICTURE in names:
        picture.draw(page.with_suffix(".png"))
    text = page.read_text(encoding="utf-8")
    for name, table in made.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{page} has no lines '{begin}' and '{end}'")
        text = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    page.write_text(text, encoding="utf-8")
