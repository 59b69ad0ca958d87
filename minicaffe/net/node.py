"""A node of a net: a layer in its place, between its blobs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from .. import context
from ..blob import Blob, SyncedArray
from ..data.batches import Batches
from ..door import where
from ..errors import Error, LayerError, add_to
from ..layer import Layer
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import blob_from_proto, blob_shape, shape_matches
from ..proto.places import Place
from ..python_blob import plain


@dataclass(eq=False)
class Node:
    """A layer with its blobs, by object and by name, and its part in the backward pass.

    `tops` and `top_names` go in step, and so do `bottoms`, `bottom_names` and `propagate_down`
    (whether the layer is to give the gradient of that bottom). `loss_weights[i]` is the loss weight
    of top i; `losses` are the tops that have one. `needs_backward` says whether the layer goes
    backward at all, for its parameters or for a bottom. `place` is where it stands in its prototxt.
    """

    param: pb.LayerParameter
    layer: Layer
    place: Place | None = None
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

    @property
    def blobs(self) -> list[Blob]:
        """The layer's parameters."""
        return plain(self.layer.blobs)

    @property
    def batches(self) -> Batches | None:
        """What feeds a layer that reads a data source; None for all others."""
        # A user's Python layer may have `batches` too, and they are its own.
        return None if self.kind is Layer else getattr(self.layer, "batches", None)

    def batch_axis(self, index: int) -> int:
        """Which axis of a data layer's top counts the samples."""
        return self.kind.batch_axis(self.layer, index)

    def set_up(self) -> None:
        """Set the layer up, with the parameters that the prototxt holds, and weigh the losses.

        Raises LayerError for blobs or loss weights that do not fit the layer's type.
        """
        layer = self.layer
        self.kind.check_counts(layer, self.bottoms, self.tops)
        for proto, shape in zip(self.param.blobs, self._given_shapes(), strict=True):
            layer.blobs.add_blob(*shape).data[...] = blob_from_proto(proto).reshape(shape)
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

    def _given_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the parameters that the prototxt holds. LayerError unless they fit.

        A layer takes those that are given for its own, so another of the type is asked for its.
        """
        given = self.param.blobs
        if not given or self.param.type == "Python":
            return [blob_shape(proto) for proto in given]
        bare, here = pb.LayerParameter(), context.current()
        bare.CopyFrom(self.param)
        del bare.blobs[:]
        twin = type(self.layer)(bare, self.layer.device, self.layer.phase)
        state = here.rng.get_state()
        twin.setup(self.bottoms, self.tops)
        here.rng.set_state(state)
        shapes = [blob.shape for blob in twin.blobs]
        if len(given) != len(shapes) or not all(map(shape_matches, given, shapes)):
            there = [blob_shape(proto) for proto in given]
            raise self.error(f"the prototxt gives parameters of shapes {there}, it has {shapes}")
        return shapes

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

    def run(self) -> None:
        """The layer's forward. Raises LayerError where it returns what it should have written."""
        forward: Callable[..., Any] = self.layer.forward
        returned = forward(self.bottoms, self.tops)
        if returned is not None:
            self._check_returned(returned, "forward", [top.data for top in self.tops])

    def run_back(self) -> None:
        """The layer's backward, if it goes backward. Raises LayerError as `run` does."""
        if self.needs_backward:
            backward: Callable[..., Any] = self.layer.backward
            returned = backward(self.tops, self.propagate_down, self.bottoms)
            if returned is not None:
                self._check_returned(returned, "backward", [each.diff for each in self.bottoms])

    def _check_returned(self, returned: Any, method: str, written: list[SyncedArray]) -> None:
        """Raise LayerError for arrays that are not what the method has written too."""
        values = returned if isinstance(returned, list | tuple) else [returned]
        for value in values:
            if hasattr(value, "__array__") and not any(
                np.array_equal(value, each.read("cpu"), equal_nan=True) for each in written
            ):
                place = "top[0].data" if method == "forward" else "bottom[0].diff"
                raise self.error(
                    f"{method} returned an array, which goes nowhere: write it into {place}[...]"
                )

    @staticmethod
    def weighted(loss: Blob) -> np.float32:
        """The sum of a loss's values times their weights, which are its diff."""
        values, weights = loss.data.read("cpu"), loss.diff.read("cpu")
        if values.size == 1:  # the usual case, and ten times as fast
            return np.float32(values.item() * weights.item())
        return np.vdot(values, weights)  # type: ignore[no-any-return]

    def force_backward(self) -> None:
        """Go backward, to every bottom that the layer has a gradient for and to all parameters."""
        self.needs_backward = True
        for index, propagate in enumerate(self.propagate_down):
            self.propagate_down[index] = propagate or self.kind.allow_force_backward(
                self.layer, index
            )
        self.layer.param_propagate_down = [True] * len(self.layer.blobs)

    def check(self) -> None:
        """Raise LayerError for values that the layer's forward has found to be wrong."""
        try:
            self.layer.check(self.bottoms)
        except Error as error:
            self.name_in(error)
            raise

    def name_in(self, error: Exception) -> None:
        """Add the layer, and its line in the prototxt, to an error of ours that does not tell them.

        Other errors, of a student's layer or kernel, keep their type and message, and get a note:
        one sentence with layer, class, method, file and line, which the command line shows. Raises
        LayerError in place of a MemoryError.
        """
        name = f"layer '{self.name}' ({self.param.type})"
        place = f" ({self.place})" if self.place else ""
        if isinstance(error, MemoryError):
            raise self.error(f"there is not enough memory ({error}){place}") from error
        if isinstance(error, Error):
            told = f"'{self.name}'" in str(error)
            return add_to(error, place if told else f", in {name}{place}")
        if not any(note.startswith("layer '") for note in getattr(error, "__notes__", ())):
            file = getattr(sys.modules.get(type(self.layer).__module__), "__file__", None) or ""
            method = method_in(error.__traceback__, self.layer)
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            error.add_note(f"{name}: {method}, {where(error.__traceback__, file)}: {said}{place}")


def method_in(trace: TracebackType | None, layer: Layer) -> str:
    """The method of a layer in which an error was raised: Class.forward."""
    while trace:
        name = trace.tb_frame.f_code.co_name
        if trace.tb_frame.f_locals.get("self") is layer and hasattr(layer, name):
            return f"{type(layer).__name__}.{name}"
        trace = trace.tb_next
    return type(layer).__name__
