"""What a layer costs: floating point operations and bytes of one forward and one backward.

Operations. A product of an (M, K) with a (K, N) matrix counts 2 M N K; layers that are made of
products count these alone. Layers that move values count none. Pooling and LRN count one for each
value of each window, the others one for each value that they read. Backward makes two products of
the same size where a layer learns and passes a gradient on, one where it does only one of them;
where forward gave copies of a value, backward adds their gradients; the others count as forward.

Bytes are what must cross the memory bus at least: forward reads bottoms and parameters and writes
tops; backward reads the tops' diffs and writes those of the bottoms, reads the bottoms' data where
there is arithmetic, the parameters where a gradient is passed on, and writes their diffs. Layers
whose tops share the bottoms' memory move nothing forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..blob import Blob
from .net import Net
from .node import Node

Blobs = Sequence[Blob]


@dataclass(frozen=True)
class Cost:
    """Operations and bytes of one layer, forward and backward."""

    forward_flops: int
    backward_flops: int
    forward_bytes: int
    backward_bytes: int
    learnable: int  # parameters
    top_bytes: int  # memory of the tops' data


def layer_cost(net: Net, index: int) -> Cost:
    """The cost of one layer of a net, at the shapes that its blobs have now.

    Backward is that of a call with the layer's own flags: 0 where it neither learns nor passes on.
    """
    node = net.nodes[index]
    layer = node.layer
    idle = not any(node.propagate_down) and not any(layer.param_propagate_down)
    return Cost(
        forward_flops=node.kind.flops(layer, node.bottoms, node.tops),
        backward_flops=0 if idle else _backward_flops(node),
        forward_bytes=4 * _moved_forward(node),
        backward_bytes=0 if idle else 4 * _moved_backward(node),
        learnable=_count(layer.blobs),
        top_bytes=4 * _count(node.tops),
    )


def _count(blobs: Blobs) -> int:
    return sum(blob.count() for blob in blobs)


def _backward_flops(node: Node) -> int:
    kind, layer = node.kind, node.layer
    if kind.repeats:
        return _count(node.tops)
    learns, passes = any(layer.param_propagate_down), any(node.propagate_down)
    return (passes + learns if kind.multiplies else 1) * kind.flops(layer, node.bottoms, node.tops)


def _moved_forward(node: Node) -> int:
    """Values read and written."""
    if node.kind.shares:
        return 0
    return node.kind.values_read(node.layer, node.bottoms, node.tops) + _count(node.tops)


def _moved_backward(node: Node) -> int:
    """Values read and written."""
    kind, layer = node.kind, node.layer
    bottom, top, passes = node.bottoms, node.tops, node.propagate_down
    if kind.shares and not kind.repeats:
        return 0
    moved = _count(top)
    moved += sum(blob.count() for blob, wanted in zip(bottom, passes, strict=True) if wanted)
    if not (kind.moves or kind.shares):
        moved += _count(bottom)
    if any(passes):
        moved += _count(layer.blobs)
    return moved + sum(
        blob.count()
        for blob, learns in zip(layer.blobs, layer.param_propagate_down, strict=True)
        if learns
    )
