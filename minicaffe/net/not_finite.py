"""Where nan or infinity comes into a net: looked for once, when a training has diverged."""

from __future__ import annotations

import numpy as np

from ..blob import SyncedArray
from .net import Net
from .node import Node


def first_not_finite(net: Net) -> str:
    """The first blob, in the order of a forward pass, that holds nan or infinity, in words.

    A layer's parameters come before its tops. "" where every blob that is still there is finite.
    """
    for index, node in enumerate(net.nodes):
        for number, blob in enumerate(node.blobs):
            if not _finite(blob.data):
                return f"parameter {number} of layer '{node.name}' is the first that is not finite"
        for name, blob in zip(node.top_names, node.tops, strict=True):
            if not _finite(blob.data):
                writers = _also_written_by(net.nodes[index + 1 :], name)
                return (
                    f"blob '{name}' of layer '{node.name}'{writers} is the first that is not finite"
                )
    return ""


def scores_are_finite(net: Net) -> bool:
    """Whether all that the losses of a net are computed from is finite."""
    return all(
        _finite(blob.data) for node in net.nodes if any(node.loss_weights) for blob in node.bottoms
    )


def _finite(array: SyncedArray) -> bool:
    return bool(np.isfinite(array.read("cpu")).all())


def _also_written_by(later: list[Node], name: str) -> str:
    """Of a blob that layers further down write in place, only what the last one left is there."""
    writers = [f"'{node.name}'" for node in later if name in node.top_names]
    return f" (written in place by {', '.join(writers)})" if writers else ""
