"""Scale on paper: how much faster do many ranks train, by a discrete-event model of an iteration?

    python -m benchmarks.scale --net googlenet --device k80 --links ethernet-10 infiniband-fdr
    python -m benchmarks.scale --net caffenet --device k80 --per-host 8 --reach 19
    python -m benchmarks.scale --net lenet --ways ring sparknet --ranks 1 2 4 8 --stragglers 0.1
    python -m benchmarks.scale --check                          # beside measured runs
    python -m benchmarks.scale --picture docs/scale.png
    python -m benchmarks.scale --docs                           # fill docs/scale.md: minutes

docs/scale.md has the model in words, its check, and what follows from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import check, links, page, picture, tables
from .model import Stragglers
from .page import digits
from .speed_up import RANKS, Plan, least_ranks, speed_up
from .ways import WAYS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    devices = [tables.CPU, *tables.published()]
    parser.add_argument("--net", choices=tables.nets(), default="googlenet")
    parser.add_argument("--device", choices=devices, default=tables.CPU)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--links", nargs="+", choices=links.KNOWN, default=list(links.KNOWN))
    parser.add_argument("--ranks", nargs="+", type=int, default=list(RANKS))
    parser.add_argument("--per-host", type=int, default=1, help="ranks of a host (default 1)")
    parser.add_argument("--batch", type=float, help="of all ranks together: strong scaling")
    parser.add_argument("--bucket", type=int, help="least bytes of a bucket (default 1 MiB)")
    parser.add_argument("--no-overlap", action="store_true", help="everything goes at the end")
    parser.add_argument("--tau", type=int, help="iterations between SparkNet's averagings (10)")
    parser.add_argument("--stragglers", type=float, default=0.0, metavar="SPREAD",
                        help="computing takes exp(SPREAD z) times as long, z normal")  # fmt: skip
    parser.add_argument("--iterations", type=int, default=1, help="of a simulation (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the stragglers")
    parser.add_argument("--reach", type=float, help="print the fewest ranks with this speed-up")
    parser.add_argument("--check", action="store_true", help="compare with measured runs")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the speed-ups of docs")
    parser.add_argument("--docs", nargs="*", choices=[*page.PARTS, page.PICTURE],
                        help=f"fill {page.PAGE.name}: these parts, or all")  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Simulate, print."""
    options = arguments()
    if options.check:
        print(check.report(check.rows()))
    elif options.docs is not None:
        page.fill(options.docs)
    elif options.picture:
        picture.draw(options.picture)
    else:
        print(table(options))


def table(options: argparse.Namespace) -> str:
    """Rows of ways and links, a column a number of ranks, or the fewest that reach a speed-up."""
    heads = ["reaches"] if options.reach else [str(ranks) for ranks in options.ranks]
    layers = tables.load(options.net, options.device)
    scaling = "weak" if options.batch is None else f"strong, {options.batch:g} images"
    alone = f"{4e-6 * layers.parameters:.1f} MB, {1e3 * layers.work().compute:.1f} ms alone"
    lines = [
        f"{options.net} on {options.device}, batch {layers.batch}, {alone};"
        f" {scaling} scaling, {options.per_host} ranks a host",
        f"| way | link | {' | '.join(heads)} |",
        "|---" * (2 + len(heads)) + "|",
    ]
    for way in options.ways:
        for name in options.links:
            plan = Plan(
                layers, way, links.link_of(name), options.per_host, options.batch, options.bucket,
                not options.no_overlap, options.tau,
                Stragglers(options.stragglers, options.seed), options.iterations,
            )  # fmt: skip
            lines.append(f"| {way} | {name} | {' | '.join(cells(plan, options))} |")
    return "\n".join(lines)


def cells(plan: Plan, options: argparse.Namespace) -> list[str]:
    """A row's figures."""
    if options.reach:
        fewest = least_ranks(plan, options.reach, options.ranks)
        return [f"{options.reach:g} with {fewest} ranks" if fewest else "never"]
    return [digits(speed_up(plan, ranks)) for ranks in options.ranks]


if __name__ == "__main__":
    main()
