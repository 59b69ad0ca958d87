"""Score a model: minicaffe test -model net.prototxt -weights net.caffemodel -iterations 50"""

import argparse
import logging

from ._commands import Parser
from ._net_flags import (
    add_check_switch,
    add_device_flags,
    add_fusion_switch,
    add_memory_switch,
    add_model_flag,
    add_stage_flags,
    build_net,
    choose_device,
)

log = logging.getLogger("minicaffe.cli")


def configure(parser: Parser) -> None:
    """Caffe's flags."""
    add_model_flag(parser)
    parser.flag("weights", "the .caffemodel", metavar="FILE")
    parser.flag("iterations", "how many batches (default 50)", type=int, default=50)
    add_device_flags(parser)
    add_stage_flags(parser)
    add_check_switch(parser)
    add_memory_switch(parser)
    add_fusion_switch(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Run the test net, and log the outputs of each batch and their means."""
    if not args.model:
        args.error("a model is needed to score: -model FILE")
    if not args.weights:
        args.error("weights are needed to score: -weights FILE")
    if args.iterations < 1:
        args.error(f"-iterations {args.iterations}: at least 1 is expected")
    choose_device(args)
    net = build_net(args, weights=args.weights, share_memory=args.share_memory, fuse=args.fuse)
    log.info("Running for %d iterations.", args.iterations)
    loss = 0.0
    sums: list[float] = []
    for batch in range(args.iterations):
        loss += net.forward_pass()
        values = [
            (name, float(value))
            for name in net.output_names
            for value in net.blobs[name].data.ravel()
        ]
        sums = [
            total + value
            for total, (_, value) in zip(sums or [0.0] * len(values), values, strict=True)
        ]
        for name, value in values:
            log.info("Batch %d, %s = %g", batch, name, value)
    net.close()
    log.info("Loss: %g", loss / args.iterations)
    for (name, _), total in zip(values, sums, strict=True):
        mean, weight = total / args.iterations, net.blob_loss_weights[name]
        note = f" (* {weight:g} = {weight * mean:g} loss)" if weight else ""
        log.info("%s = %g%s", name, mean, note)
