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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..blob import Blob
from ..layer import Layer
from .net import Net

Blobs = Sequence[Blob]
Count = Callable[[Any, Blobs, Blobs], int]


@dataclass(frozen=True)
class Cost:
    """Operations and bytes of one layer, forward and backward."""

    forward_flops: int
    backward_flops: int
    forward_bytes: int
    backward_bytes: int
    learnable: int  # parameters
    top_bytes: int  # memory of the tops' data


def _convolution(layer: Any, bottom: Blobs, top: Blobs) -> int:
    weight = layer.blobs[0]  # each output is a sum over the weights of one filter
    return sum(2 * blob.count() * weight.count(1) for blob in top)


def _deconvolution(layer: Any, bottom: Blobs, top: Blobs) -> int:
    weight = layer.blobs[0]  # each input is spread over the weights of its channel
    return sum(2 * blob.count() * weight.count(1) for blob in bottom)


def _inner_product(layer: Any, bottom: Blobs, top: Blobs) -> int:
    outputs: int = layer.param.inner_product_param.num_output
    return 2 * bottom[0].count() * outputs


def _recurrent(layer: Any, bottom: Blobs, top: Blobs) -> int:
    steps = bottom[0].count(0, 2)  # T x N; each multiplies every weight matrix once
    return sum(2 * steps * blob.count() for blob in layer.blobs if blob.num_axes > 1)


def _pooling(layer: Any, bottom: Blobs, top: Blobs) -> int:
    height, width = layer.window.kernel
    return int(top[0].count() * height * width)


def _spp(layer: Any, bottom: Blobs, top: Blobs) -> int:
    return sum(
        level.pooled.count() * level.window.kernel[0] * level.window.kernel[1]
        for level in layer.levels
    )


def _lrn(layer: Any, bottom: Blobs, top: Blobs) -> int:
    return int(bottom[0].count() * layer.size ** (2 if layer.within else 1))


PRODUCTS: dict[str, Count] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
WINDOWS: dict[str, Count] = {"Pooling": _pooling, "SPP": _spp, "LRN": _lrn}

# Layers whose tops have their bottoms' memory, or that have none of the two.
SHARING = frozenset({"Flatten", "Input", "Parameter", "Reshape", "Silence", "Split"})
# Those that copy values, without arithmetic.
MOVING = frozenset({
    "BatchReindex", "Concat", "Crop", "Data", "DummyData", "Embed", "Filter", "HDF5Data",
    "HDF5Output", "Im2col", "ImageData", "MemoryData", "Slice", "Tile", "WindowData",
})  # fmt: skip
# Those that may give a value several times; backward sums what comes back.
COPYING = frozenset({"BatchReindex", "Embed", "Im2col", "Split", "Tile"})


def layer_cost(net: Net, index: int) -> Cost:
    """The cost of one layer of a net, at the shapes that its blobs have now.

    Backward is that of a call with the layer's own flags: 0 where it neither learns nor passes on.
    """
    layer, bottom, top = net.layers[index], net.layer_bottoms[index], net.layer_tops[index]
    passes = net.nodes[index].propagate_down
    idle = not any(passes) and not any(layer.param_propagate_down)
    return Cost(
        forward_flops=_forward_flops(layer, bottom, top),
        backward_flops=0 if idle else _backward_flops(layer, bottom, top, passes),
        forward_bytes=4 * _moved_forward(layer, bottom, top),
        backward_bytes=0 if idle else 4 * _moved_backward(layer, bottom, top, passes),
        learnable=_count(layer.blobs),
        top_bytes=4 * _count(top),
    )


def _count(blobs: Blobs) -> int:
    return sum(blob.count() for blob in blobs)


def _forward_flops(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    if layer.type in SHARING | MOVING:
        return 0
    counted = PRODUCTS.get(layer.type) or WINDOWS.get(layer.type)
    return counted(layer, bottom, top) if counted else _count(bottom or top)


def _backward_flops(layer: Layer, bottom: Blobs, top: Blobs, passes: Sequence[bool]) -> int:
    if layer.type in COPYING:
        return _count(top)
    products = any(passes) + any(layer.param_propagate_down) if layer.type in PRODUCTS else 1
    return products * _forward_flops(layer, bottom, top)


def _moved_forward(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    """Values read and written."""
    if layer.type in SHARING:
        return 0
    if layer.type in ("Crop", "Embed"):  # which read a part of the bottom, of the table
        return 2 * _count(top)
    return _count(bottom) + _count(layer.blobs) + _count(top)


def _moved_backward(layer: Layer, bottom: Blobs, top: Blobs, passes: Sequence[bool]) -> int:
    """Values read and written."""
    if layer.type in SHARING - {"Split"}:
        return 0
    moved = _count(top)
    moved += sum(blob.count() for blob, wanted in zip(bottom, passes, strict=True) if wanted)
    if layer.type not in MOVING | SHARING:
        moved += _count(bottom)
    if any(passes):
        moved += _count(layer.blobs)
    return moved + sum(
        blob.count()
        for blob, learns in zip(layer.blobs, layer.param_propagate_down, strict=True)
        if learns
    )
