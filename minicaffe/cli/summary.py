"""Show a net: layers, shapes, parameters, FLOPs, memory: minicaffe summary -model net.prototxt

In phase TEST `buffer` is the memory that a layer's tops share with others, where nobody looks at
the blobs between layers, as in `minicaffe test`; a top without a number has memory of its own.
Layers with the same number in the column `fused` run as one.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._commands import Parser
from ._net_flags import add_model_flag, add_phase_flag, add_stage_flags, build_net

if TYPE_CHECKING:
    from ..net.memory_plan import MemoryPlan
    from ..net.net import Net


def configure(parser: Parser) -> None:
    """The flags that select a net, as `minicaffe time` has them."""
    add_model_flag(parser)
    add_phase_flag(parser, "TEST")
    add_stage_flags(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Print a row for each layer, and the sums."""
    if not args.model:
        args.error("a model is needed: -model FILE")
    import logging

    from .. import TEST
    from ..net.cost import layer_cost
    from ..net.memory_plan import plan_memory

    logging.getLogger("minicaffe").setLevel(logging.WARNING)
    net = build_net(args)
    plan = plan_memory(net.nodes, net.output_names) if net.phase == TEST else None
    buffers = ["buffer", *_buffers(net, plan), ""] if plan else []
    rows = [("layer", "type", "top shapes", "parameters", "MFLOP", "MB of tops")]
    costs = [layer_cost(net, index) for index in range(len(net.nodes))]
    for node, cost in zip(net.nodes, costs, strict=True):
        shapes = ", ".join(" x ".join(map(str, top.shape)) or "scalar" for top in node.tops)
        numbers = f"{cost.learnable:,}", _digits(cost.forward_flops), _digits(cost.top_bytes)
        rows.append((node.name, node.param.type, shapes, *numbers))
    net.close()
    flops = sum(cost.forward_flops for cost in costs)
    memory = sum(cost.top_bytes for cost in costs)
    rows.append(("sum", "", "", f"{net.flat_params.count:,}", _digits(flops), _digits(memory)))
    more = [column for column in (_fused(net), buffers) if column]
    print_table([(*row, *cells) for row, *cells in zip(rows, *more, strict=True)])
    print(f"parameters: {4 * net.flat_params.count / 1e6:.2f} MB; MFLOP are those of one forward")
    if net.groups:
        print(f"fused: {len(net.groups)} groups of layers, none with -nofuse")
    kept = sum(node.kind.bytes_kept(node.layer) for node in net.nodes)
    if kept:
        print(f"prepared filters: {_digits(kept)} MB, none with MINICAFFE_KEEP=off")
    if plan:
        print(
            f"blobs: {_digits(plan.bytes_shared)} MB with {len(plan.buffers)} shared buffers,"
            f" {_digits(plan.bytes_alone)} MB with -noshare_memory"
        )


def _buffers(net: "Net", plan: "MemoryPlan") -> list[str]:
    """For each layer the numbers of the buffers that its tops lie in, from 1."""
    known = plan.buffer_of()
    numbers = [
        dict.fromkeys(str(known[name] + 1) for name in node.top_names if name in known)
        for node in net.nodes
    ]
    return [", ".join(each) for each in numbers]


def _fused(net: "Net") -> list[str]:
    """A column with the numbers of the groups that run as one, from 1; none without groups."""
    numbers = [""] * len(net.nodes)
    for number, group in enumerate(net.groups, 1):
        numbers[group.first : group.last + 1] = [str(number)] * len(group.nodes)
    return ["fused", *numbers, ""] if net.groups else []


def _digits(count: int) -> str:
    return f"{count / 1e6:,.2f}"


def print_table(rows: Sequence[Sequence[str]], text_columns: int = 3) -> None:
    """Print rows in columns as wide as they need; the first ones flush left, numbers right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = (
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
