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
from ..layer import Layer
from .net import Net

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
    layer, bottom, top, passes = node.layer, node.bottoms, node.tops, node.propagate_down
    idle = not any(passes) and not any(layer.param_propagate_down)
    return Cost(
        forward_flops=type(layer).flops(layer, bottom, top),
        backward_flops=0 if idle else _backward_flops(layer, bottom, top, passes),
        forward_bytes=4 * _moved_forward(layer, bottom, top),
        backward_bytes=0 if idle else 4 * _moved_backward(layer, bottom, top, passes),
        learnable=_count(layer.blobs),
        top_bytes=4 * _count(top),
    )


def _count(blobs: Blobs) -> int:
    return sum(blob.count() for blob in blobs)


def _backward_flops(layer: Layer, bottom: Blobs, top: Blobs, passes: Sequence[bool]) -> int:
    kind = type(layer)
    if kind.repeats:
        return _count(top)
    products = any(passes) + any(layer.param_propagate_down) if kind.multiplies else 1
    return products * kind.flops(layer, bottom, top)


def _moved_forward(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    """Values read and written."""
    kind = type(layer)
    return 0 if kind.shares else kind.values_read(layer, bottom, top) + _count(top)


def _moved_backward(layer: Layer, bottom: Blobs, top: Blobs, passes: Sequence[bool]) -> int:
    """Values read and written."""
    kind = type(layer)
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
