"""What a layer costs: floating point operations and bytes of one forward and one backward.

A product of an (M, K) with a (K, N) matrix counts 2 M N K operations. Layers that are made of
products count these alone; the others count one operation for each value that they read. Backward
makes two products of the same size where a layer learns and passes a gradient on, one where it does
only one of them. Bytes are those of the bottoms, the parameters and the tops, each moved once
(backward: their diffs too): what must cross the memory bus at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .blob import Blob
from .layer import Layer
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


def _convolution(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    weight = layer.blobs[0]  # each output is a sum over the weights of one filter
    return sum(2 * blob.count() * weight.count(1) for blob in top)


def _deconvolution(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    weight = layer.blobs[0]  # each input is spread over the weights of its channel
    return sum(2 * blob.count() * weight.count(1) for blob in bottom)


def _inner_product(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    outputs: int = layer.param.inner_product_param.num_output
    return 2 * bottom[0].count() * outputs


def _recurrent(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    steps = bottom[0].count(0, 2)  # T x N; each multiplies every weight matrix once
    return sum(2 * steps * blob.count() for blob in layer.blobs if blob.num_axes > 1)


PRODUCTS: dict[str, Callable[[Layer, Blobs, Blobs], int]] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
FREE = frozenset({"Input", "Reshape", "Flatten", "Silence", "Split", "Parameter"})


def layer_cost(net: Net, index: int) -> Cost:
    """The cost of one layer of a net, at the shapes that its blobs have now."""
    layer, bottom, top = net.layers[index], net.layer_bottoms[index], net.layer_tops[index]
    node = net.nodes[index]
    passes = any(node.propagate_down)
    learns = any(layer.param_propagate_down)
    product = PRODUCTS.get(layer.type)
    if layer.type in FREE:
        forward = backward = 0
    elif product is not None:
        forward = product(layer, bottom, top)
        backward = forward * (passes + learns)
    else:
        forward = sum(blob.count() for blob in (bottom or top))
        backward = forward
    learnable = sum(blob.count() for blob in layer.blobs)
    moved = 4 * (sum(blob.count() for blob in (*bottom, *top)) + learnable)
    return Cost(
        forward_flops=forward,
        backward_flops=backward if node.needs_backward else 0,
        forward_bytes=0 if layer.type in FREE else moved,
        backward_bytes=2 * moved if node.needs_backward and layer.type not in FREE else 0,
        learnable=learnable,
        top_bytes=4 * sum(blob.count() for blob in top),
    )
