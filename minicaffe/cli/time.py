"""Time a model, layer by layer: minicaffe time -model net.prototxt -iterations 50

Caffe's lines go to the log, on standard error. A table follows on standard output: time, operations
and bytes a second of each layer, and how much that is of what this machine can do; then, which
way convolutions were done. Layers that a net otherwise runs as one (`minicaffe summary` shows
which) run one by one here.
"""

from __future__ import annotations

import argparse
import logging
import time
from typing import TYPE_CHECKING

from ._commands import Parser
from ._net_flags import (
    add_check_switch,
    add_device_flags,
    add_model_flag,
    add_phase_flag,
    add_stage_flags,
    build_net,
    choose_device,
)

if TYPE_CHECKING:
    from ..net.net import Net

log = logging.getLogger("minicaffe.cli")


def configure(parser: Parser) -> None:
    """Caffe's flags."""
    add_model_flag(parser)
    add_phase_flag(parser, "TRAIN")
    parser.flag("iterations", "how many times (default 50)", type=int, default=50)
    add_device_flags(parser)
    add_stage_flags(parser)
    add_check_switch(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Run forward and backward once to warm up, then `iterations` times with a clock.

    Backward is run for every layer; the flags of propagation decide about bottoms only. The peak is
    measured first. It is that of the processor; without it (on a card) there is no table.
    """
    if not args.model:
        args.error("a model is needed to time: -model FILE")
    if args.iterations < 1:
        args.error(f"-iterations {args.iterations}: at least 1 is expected")
    from ..device import place
    from ..machine.threads import num_threads
    from ..net.roofline import COPIED, SIDE, measure_peak, table
    from .summary import print_table

    device = choose_device(args)
    net = build_net(args)
    peak = measure_peak(device) if place(device) == "host" else None
    forward_ms, backward_ms = _time_layers(net, args.iterations)
    net.close()
    if peak is None:
        return
    print_table(table(net, forward_ms, backward_ms, peak), text_columns=2)
    print(
        f"peak of {device} on {num_threads()} thread(s), measured at the start:"
        f" {peak.gemm / 1e9:.1f} GFLOP/s (product of {SIDE} x {SIDE} matrices),"
        f" {peak.bandwidth / 1e9:.1f} GB/s (copy of {COPIED >> 20} MiB)"
    )
    print(
        "of peak: the least time by arithmetic or by memory, whichever is longer, of the time"
        " that forward and backward took; above 100 % the values came from a cache"
    )
    _print_ways(net)


def _print_ways(net: Net) -> None:
    """Say which way kernels went that know several, a line a layer."""
    from .summary import print_table

    rows = [(node.name, *ways) for node in net.nodes if (ways := node.kind.ways(node.layer))]
    if rows:
        print("\nwhich way kernels went, where they know several (docs/kernels.md):")
        print_table([("layer", "forward", "to the bottom", "to the parameters"), *rows], 4)


def _time_layers(net: Net, iterations: int) -> tuple[list[float], list[float]]:
    """Forward and backward of each layer, in ms on average; Caffe's lines go to the log."""
    layers = range(len(net.nodes))
    log.info("Performing Forward")
    log.info("Initial loss: %g", net.forward_pass())
    log.info("Performing Backward")
    for index in reversed(layers):
        _backward(net, index)
    log.info("*** Benchmark begins ***")
    log.info("Testing for %d iterations.", iterations)
    forward, backward = [0.0] * len(layers), [0.0] * len(layers)  # seconds
    total = 0.0
    for iteration in range(1, iterations + 1):
        start = _now(net)
        for index in layers:
            before = _now(net)
            net.forward_pass(index, index)
            forward[index] += _now(net) - before
        for index in reversed(layers):
            before = _now(net)
            _backward(net, index)
            backward[index] += _now(net) - before
        took = 1000 * (_now(net) - start)
        total += took
        log.info("Iteration: %d forward-backward time: %g ms.", iteration, took)
    forward_ms = [1000 * seconds / iterations for seconds in forward]
    backward_ms = [1000 * seconds / iterations for seconds in backward]
    log.info("Average time per layer: ")
    for name, there, back in zip(net.layer_names, forward_ms, backward_ms, strict=True):
        log.info("%10s\tforward: %g ms.", name, there)
        log.info("%10s\tbackward: %g ms.", name, back)
    log.info("Average Forward pass: %g ms.", sum(forward_ms))
    log.info("Average Backward pass: %g ms.", sum(backward_ms))
    log.info("Average Forward-Backward: %g ms.", total / iterations)
    log.info("Total Time: %g ms.", total)
    log.info("*** Benchmark ends ***")
    return forward_ms, backward_ms


def _now(net: Net) -> float:
    """The time at which all that the net was told to do is done."""
    from ..device import synchronize

    synchronize(net.device)
    return time.perf_counter()


def _backward(net: Net, index: int) -> None:
    node = net.nodes[index]
    node.layer.backward(node.tops, node.propagate_down, node.bottoms)
