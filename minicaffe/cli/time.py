"""Time a model, layer by layer: minicaffe time -model net.prototxt -iterations 50

Caffe's lines go to the log, on standard error. A table follows on standard output: time, operations
and bytes a second of each layer, and how much that is of what this machine can do. Layers that a
net otherwise runs as one (`minicaffe summary` shows which) run one by one here.
"""

import argparse
import logging
import time
from collections.abc import Callable

from ._commands import Parser
from ._net_flags import add_device_flags, choose_device

log = logging.getLogger("minicaffe.cli")


def configure(parser: Parser) -> None:
    """Caffe's flags."""
    parser.flag("model", "the net's prototxt", metavar="FILE")
    parser.flag(
        "phase", "TRAIN or TEST (default TRAIN)", default="TRAIN", choices=("TRAIN", "TEST")
    )
    parser.flag("iterations", "how many times (default 50)", type=int, default=50)
    add_device_flags(parser)
    parser.flag("level", "the net's level", type=int, default=0)
    parser.flag("stage", "the net's stages, separated by ','", metavar="NAMES")
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
    from .. import TEST, TRAIN
    from ..device import place
    from ..machine.threads import num_threads
    from ..net.roofline import COPIED, SIDE, measure_peak, table
    from ..pycaffe.net import Net
    from .summary import print_table

    device = choose_device(args)
    stages = args.stage.split(",") if args.stage else []
    phase = TRAIN if args.phase == "TRAIN" else TEST
    net = Net(args.model, phase, level=args.level, stages=stages)
    count = len(net.layers)
    peak = measure_peak(device) if place(device) == "host" else None

    def forward(index: int) -> None:
        net.forward_pass(index, index)

    def backward(index: int) -> None:
        node = net.nodes[index]
        tops, bottoms = net.layer_tops[index], net.layer_bottoms[index]
        node.layer.backward(tops, node.propagate_down, bottoms)

    log.info("Performing Forward")
    log.info("Initial loss: %g", net.forward_pass())
    log.info("Performing Backward")
    for index in reversed(range(count)):
        backward(index)
    log.info("*** Benchmark begins ***")
    log.info("Testing for %d iterations.", args.iterations)
    forward_ms, backward_ms = [0.0] * count, [0.0] * count
    total = 0.0
    for iteration in range(1, args.iterations + 1):
        start = time.perf_counter()
        for index in range(count):
            forward_ms[index] += _milliseconds(forward, index)
        for index in reversed(range(count)):
            backward_ms[index] += _milliseconds(backward, index)
        took = 1000 * (time.perf_counter() - start)
        total += took
        log.info("Iteration: %d forward-backward time: %g ms.", iteration, took)
    net.close()
    forward_ms = [each / args.iterations for each in forward_ms]
    backward_ms = [each / args.iterations for each in backward_ms]
    log.info("Average time per layer: ")
    for index, name in enumerate(net.layer_names):
        log.info("%10s\tforward: %g ms.", name, forward_ms[index])
        log.info("%10s\tbackward: %g ms.", name, backward_ms[index])
    log.info("Average Forward pass: %g ms.", sum(forward_ms))
    log.info("Average Backward pass: %g ms.", sum(backward_ms))
    log.info("Average Forward-Backward: %g ms.", total / args.iterations)
    log.info("Total Time: %g ms.", total)
    log.info("*** Benchmark ends ***")
    if peak is not None:
        print_table(table(net, forward_ms, backward_ms, peak), text_columns=2)
        print(
            f"peak of {device} on {num_threads()} thread(s), measured at the start:"
            f" {peak.flops / 1e9:.1f} GFLOP/s (product of {SIDE} x {SIDE} matrices),"
            f" {peak.bandwidth / 1e9:.1f} GB/s (copy of {4 * COPIED >> 20} MiB)"
        )
        print(
            "of peak: the least time by arithmetic or by memory, whichever is longer, of the time"
            " that forward and backward took; above 100 % the values came from a cache"
        )


def _milliseconds(run: Callable[[int], None], index: int) -> float:
    start = time.perf_counter()
    run(index)
    return 1000 * (time.perf_counter() - start)
