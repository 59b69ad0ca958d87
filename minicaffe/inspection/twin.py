"""A layer of a net once more, alone and on another device, with the same values."""

from __future__ import annotations

import os

from .. import context
from ..blob import Blob
from ..device import place
from ..errors import DeviceError
from ..layer import create_layer
from ..net.node import Node
from .net_facts import Pass


class Twin:
    """The layer of `original` on a device; `node` is its node.

    It has blobs of its own, which get the original's values before each run. Raises DeviceError
    where the device has not all of the layer's kernels.
    """

    def __init__(self, original: Node, device: str) -> None:
        self.original, self.device = original, device
        self._blobs: dict[int, Blob] = {}
        folder = os.path.dirname(original.place.file) if original.place else ""
        here = context.current()
        state = here.rng.get_state()  # its fillers draw, and its parameters are the original's
        layer = create_layer(original.param, device, original.param.phase, folder)
        if layer.missing:
            raise DeviceError(f"no kernel {', '.join(layer.missing)} for {device}")
        node = Node(original.param, layer, original.place)
        node.bottom_names, node.top_names = original.bottom_names, original.top_names
        node.bottoms = [self._mine(blob) for blob in original.bottoms]
        node.tops = [self._mine(blob, shaped=False) for blob in original.tops]
        node.propagate_down = list(original.propagate_down)
        node.needs_backward = original.needs_backward
        node.set_up()
        layer.param_propagate_down = list(original.layer.param_propagate_down)
        here.rng.set_state(state)
        self.node = node
        self._take_parameters()

    def _mine(self, blob: Blob, shaped: bool = True) -> Blob:
        """This twin's blob for one of the original's: the same for the same, as in place."""
        if id(blob) not in self._blobs:
            self._blobs[id(blob)] = Blob(blob.shape if shaped else ())
        return self._blobs[id(blob)]

    def _take_parameters(self) -> None:
        for mine, theirs in zip(self.node.blobs, self.original.blobs, strict=True):
            if place(self.device) == "host" == place(self.original.layer.device):
                mine.share_data(theirs)
            else:
                mine.data.write("cpu")[...] = theirs.data.read("cpu")

    def run(self, pass_: Pass) -> None:
        """Take the original's values, as they are now, and run; random numbers are not used up."""
        node, original = self.node, self.original
        pairs = [*zip(node.bottoms, original.bottoms, strict=True)]
        if pass_ == "backward":
            pairs += zip(node.tops, original.tops, strict=True)
        for mine, theirs in pairs:
            mine.data.write("cpu")[...] = theirs.data.read("cpu")
        here = context.current()
        state = here.rng.get_state()
        if pass_ == "forward":
            node.layer.reshape(node.bottoms, node.tops)
            node.run()
        else:
            for mine, theirs in zip(node.tops, original.tops, strict=True):
                mine.diff.write("cpu")[...] = theirs.diff.read("cpu")
            node.run_back()
        here.rng.set_state(state)
