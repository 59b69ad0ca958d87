"""A node of a net: a layer in its place, between its blobs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..blob import Blob
from ..errors import LayerError
from ..layer import Layer
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import blob_from_proto


@dataclass(eq=False)
class Node:
    """A layer with its blobs, by object and by name, and its part in the backward pass.

    `tops` and `top_names` go in step, and so do `bottoms`, `bottom_names` and `propagate_down`
    (whether the layer is to give the gradient of that bottom). `loss_weights[i]` is the loss weight
    of top i; `losses` are the tops that have one. `needs_backward` says whether the layer goes
    backward at all, for its parameters or for a bottom.
    """

    param: pb.LayerParameter
    layer: Layer
    bottoms: list[Blob] = field(default_factory=list)
    tops: list[Blob] = field(default_factory=list)
    losses: list[Blob] = field(default_factory=list)
    bottom_names: list[str] = field(default_factory=list)
    top_names: list[str] = field(default_factory=list)
    loss_weights: list[float] = field(default_factory=list)
    propagate_down: list[bool] = field(default_factory=list)
    needs_backward: bool = False

    def __post_init__(self) -> None:
        # What others ask of a layer, they ask of this class: the layer's own, but for a user's
        # Python layer, whose attributes may be called anything, the contract's defaults.
        self.kind = Layer if self.param.type == "Python" else type(self.layer)
        self.missing = self.layer.missing  # kernel families, for want of which it is on the CPU

    def error(self, message: str) -> LayerError:
        """An error that names the layer."""
        return LayerError(f"layer '{self.name}' ({self.param.type}): {message}")

    @property
    def name(self) -> str:
        """The layer's name in the prototxt."""
        return self.param.name

    def set_up(self) -> None:
        """Set the layer up, with the parameters that the prototxt holds, and weigh the losses.

        Raises LayerError for blobs or loss weights that do not fit the layer's type.
        """
        layer = self.layer
        for proto in self.param.blobs:
            layer.blobs.add_blob(*blob_from_proto(proto).shape)
            layer.blobs[-1].data[...] = blob_from_proto(proto)
        self.kind.check_counts(layer, self.bottoms, self.tops)
        try:
            layer.setup(self.bottoms, self.tops)
            layer.reshape(self.bottoms, self.tops)
        except Exception as error:
            self.name_in(error)
            raise
        layer.param_propagate_down = [True] * len(layer.blobs)
        self.loss_weights = self._loss_weights()
        for top, weight in zip(self.tops, self.loss_weights, strict=True):
            if weight:
                top.diff.write("cpu")[...] = weight
                self.losses.append(top)

    def _loss_weights(self) -> list[float]:
        given, count = list(self.param.loss_weight), len(self.tops)
        default = self.kind.default_loss_weight
        if given and len(given) != count:
            raise self.error(f"loss_weight is given {len(given)} times for {count} tops")
        if not all(map(math.isfinite, given)):
            raise self.error(f"loss_weight must be finite, not {given}")
        if not given and count and default:
            self.param.loss_weight.append(default)  # as Caffe writes it
        return given or [default, *[0.0] * count][:count]

    def run_back(self) -> None:
        """The layer's backward, if it goes backward."""
        if self.needs_backward:
            self.layer.backward(self.tops, self.propagate_down, self.bottoms)

    def force_backward(self) -> None:
        """Go backward, to every bottom that the layer has a gradient for and to all parameters."""
        self.needs_backward = True
        for index, propagate in enumerate(self.propagate_down):
            self.propagate_down[index] = propagate or self.kind.allow_force_backward(
                self.layer, index
            )
        self.layer.param_propagate_down = [True] * len(self.layer.blobs)

    def name_in(self, error: Exception) -> None:
        """Add the layer's name to the traceback of an error that does not tell it.

        Raises LayerError in place of a MemoryError.
        """
        if isinstance(error, MemoryError):
            raise self.error(f"there is not enough memory ({error})") from error
        if f"'{self.name}'" not in str(error):
            error.add_note(f"in layer '{self.name}' ({self.param.type})")
