"""What the log tells of a net as it is built: Caffe's lines."""

import logging
from collections.abc import Sequence

from . import in_place
from .node import Node

log = logging.getLogger("minicaffe.net")


def set_up(node: Node, memory: int) -> None:
    """The shapes of a layer's tops, and the bytes of all tops so far."""
    log.info("Setting up %s", node.name)
    for top, weight in zip(node.tops, node.loss_weights, strict=True):
        dims = "".join(f"{dim} " for dim in top.shape)
        log.info("Top shape: %s(%d)", dims, top.count())
        if weight:
            log.info("    with loss weight %g", weight)
    log.info("Memory required for data: %d", memory)


def fallen_back(nodes: Sequence[Node], device: str) -> None:
    """Once, which layers run on the CPU because the device lacks kernels."""
    lacking = [f"{node.name} ({', '.join(node.missing)})" for node in nodes if node.missing]
    if lacking:
        log.warning("On the CPU, for want of kernels for %s: %s", device, ", ".join(lacking))


def overwritten(nodes: Sequence[Node]) -> None:
    """Which layers that run in place make a gradient wrong."""
    for sentence in in_place.overwritten(nodes):
        log.warning("%s", sentence)


def summary(nodes: Sequence[Node], outputs: Sequence[str], parameters: int, memory: int) -> None:
    """Which layers go backward, the outputs' names, what was built."""
    for node in reversed(nodes):
        verb = "needs" if node.needs_backward else "does not need"
        log.info("%s %s backward computation.", node.name, verb)
    for name in outputs:
        log.info("This network produces output %s", name)
    log.info(
        "Network initialization done: %d learnable parameters, %d bytes of data.",
        parameters,
        memory,
    )
