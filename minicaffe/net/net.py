"""The net: layers in order, the blobs between them, one flat buffer of parameters.

Construction follows Caffe: filter by state, insert splits, set the layers up one by one, then
decide which of them go backward.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection

import numpy as np

from .. import context
from ..blob import Blob
from ..errors import Error, NetError, UnknownName, add_to, did_you_mean
from ..layer import Layer, create_layer
from ..proto import minicaffe_pb2 as pb
from ..proto.places import Place, places_of
from ..python_blob import python_blobs
from . import log as net_log
from . import weights
from .bad_values import check_values
from .callbacks import NetCallbacks
from .fusion import Group, find_groups, whole_groups
from .graph import analyse_backward, filter_net, insert_splits, places_after
from .memory_plan import MemoryPlan, plan_memory
from .node import Node
from .parameters import ParamCollector
from .recording import Recording

log = logging.getLogger("minicaffe.net")

AUTOMATIC = "(automatic)"  # name of a top that the prototxt leaves out; not an output


class Net:
    """A net of one phase, built from a NetParameter that has been upgraded to today's form.

    `param.state` (phase, level, stages) selects the layers; `phase` overrides its phase. Raises
    NetError or LayerError, naming the layer, for anything that cannot be built.

    With `share_memory`, for nets of phase TEST in which nobody looks, blobs that are not needed at
    the same time lie in the same memory (`memory_plan.py`). After a pass the outputs hold what they
    should, and the blobs that `keep` names; there is no backward, and no beginning in the middle.

    With `fuse`, neighbours between which nobody looks run as one (`fusion.py`): `groups`.
    """

    def __init__(
        self,
        param: pb.NetParameter,
        phase: int | None = None,
        *,
        device: str | None = None,
        share_memory: bool = False,
        keep: Collection[str] = (),
        fuse: bool = True,
    ) -> None:
        wanted = pb.NetParameter()
        wanted.CopyFrom(param)
        if phase is not None:
            wanted.state.phase = phase  # type: ignore[assignment]
        self.phase: int = wanted.state.phase
        self.device = device or context.current().device
        self.places = places_of(param)  # of its layers in the prototxt, or None
        try:
            filtered = filter_net(wanted)
            self.param = insert_splits(filtered)
        except NetError as error:
            self._place(error, param)
            raise
        self.places = places_after(wanted, self.places, filtered, self.param)
        self.name = param.name
        self.nodes: list[Node] = []
        self.blob_dict: dict[str, Blob] = {}
        self.blob_loss_weights: dict[str, float] = {}
        self.input_names: list[str] = []
        self.output_names: list[str] = []
        self.callbacks = NetCallbacks()
        try:
            self._build()
        except BaseException:
            self.close()  # what the layers have opened so far
            raise
        self.memory_plan: MemoryPlan | None = None
        if share_memory:
            self._share_memory(keep)
        self.groups: list[Group] = find_groups(self.nodes, self.device) if fuse else []
        self.recording = Recording(self.nodes, self.groups, self.phase, self.device)
        if self.groups:
            log.info("%d groups of neighbouring layers run as one.", len(self.groups))

    # --- construction ------------------------------------------------------------------------

    def _build(self) -> None:
        available: set[str] = set()
        needs_gradient: set[str] = set()
        params = ParamCollector()
        memory = 0
        for layer_param, place in zip(self.param.layer, self.places, strict=True):
            if not layer_param.HasField("phase"):
                layer_param.phase = self.phase  # type: ignore[assignment]
            try:
                node = self._append(layer_param, place, available, needs_gradient)
            except Error as error:
                if place:
                    add_to(error, f" ({place})")
                raise
            memory += sum(4 * top.count() for top in node.tops)
            net_log.set_up(node, memory)
            node.needs_backward |= params.append(layer_param, node.layer)
            if node.needs_backward:
                needs_gradient.update(node.top_names)
        net_log.fallen_back(self.nodes, self.device)
        analyse_backward(self.nodes)
        if self.param.force_backward:
            for node in self.nodes:
                node.force_backward()
        if self.phase == pb.TRAIN or self.param.force_backward:
            net_log.overwritten(self.nodes)
        self.output_names = sorted(available)
        self.flat_params = params.flatten()
        net_log.summary(self.nodes, self.output_names, self.flat_params.count, memory)

    def _place(self, error: NetError, param: pb.NetParameter) -> None:
        """Add the prototxt's line to an error that names one of its layers."""
        for layer, place in zip(param.layer, self.places, strict=True):
            if place and str(error).startswith(f"layer '{layer.name}'"):
                return add_to(error, f" ({place})")

    def _append(
        self,
        param: pb.LayerParameter,
        place: Place | None,
        available: set[str],
        needs_gradient: set[str],
    ) -> Node:
        """Make a layer, connect it and set it up."""
        log.info("Creating Layer %s", param.name)
        folder = os.path.dirname(place.file) if place else ""
        layer = create_layer(param, self.device, param.phase, folder)
        names = list(param.bottom), list(param.top)
        node = Node(param, layer, place, bottom_names=names[0], top_names=names[1])
        wanted = list(param.propagate_down)
        if wanted and len(wanted) != len(param.bottom):
            raise node.error(
                f"propagate_down is given {len(wanted)} times for {len(param.bottom)} bottoms"
            )
        node.bottoms = [self._take_bottom(param, name, available) for name in param.bottom]
        for index, name in enumerate(param.bottom):
            log.info("%s <- %s", param.name, name)
            node.propagate_down.append(wanted[index] if wanted else name in needs_gradient)
            node.needs_backward |= name in needs_gradient
        node.tops = [self._add_top(param, index, available) for index in range(len(param.top))]
        while len(node.tops) < node.kind.automatic_tops:
            node.tops.append(Blob())
            node.top_names.append(AUTOMATIC)
            self.blob_dict[AUTOMATIC] = node.tops[-1]
        if param.type == "Python":
            node.bottoms, node.tops = python_blobs(node.bottoms, node.tops)
        self.nodes.append(node)
        node.set_up()
        self.blob_loss_weights.update(zip(node.top_names, node.loss_weights, strict=True))
        return node

    def _take_bottom(self, param: pb.LayerParameter, name: str, available: set[str]) -> Blob:
        if name not in available:
            raise NetError(
                f"layer '{param.name}': unknown bottom blob '{name}'"
                f" (available here: {', '.join(sorted(available)) or 'none'})"
                f"{did_you_mean(name, available)}"
            )
        if name not in param.top:
            available.discard(name)
        return self.blob_dict[name]

    def _add_top(self, param: pb.LayerParameter, index: int, available: set[str]) -> Blob:
        name = param.top[index]
        if index < len(param.bottom) and param.bottom[index] == name:
            log.info("%s -> %s (in-place)", param.name, name)
        elif name in self.blob_dict:
            raise NetError(f"layer '{param.name}': top blob '{name}' has a producer already")
        else:
            log.info("%s -> %s", param.name, name)
            self.blob_dict[name] = Blob()
            if param.type == "Input":
                self.input_names.append(name)
        available.add(name)
        return self.blob_dict[name]

    def _share_memory(self, keep: Collection[str]) -> None:
        if self.phase != pb.TEST:
            raise NetError("share_memory is for nets of phase TEST: backward reads all blobs")
        self.memory_plan = plan_memory(self.nodes, {*keep, *self.output_names})
        self.memory_plan.apply()
        for node in self.nodes:
            if node.kind is not Layer:
                node.layer.runs_back = False
        log.info(
            "Memory of the blobs: %d bytes instead of %d, %d buffers are shared.",
            self.memory_plan.bytes_shared,
            self.memory_plan.bytes_alone,
            len(self.memory_plan.buffers),
        )

    # --- running -----------------------------------------------------------------------------

    def forward_pass(self, start: int = 0, end: int | None = None) -> float:
        """Run the layers `start` to `end` (inclusive; default all); the weighted loss they give."""
        if self.memory_plan and start > 0:
            raise NetError("a net that shares memory runs from the first layer on: what the others"
                           f" read is no longer there (start is {start})")  # fmt: skip
        self.flat_params.check_counts()
        last, callbacks = self._last(end), self.callbacks
        watched = callbacks.before_forward or callbacks.after_forward
        grouped = {} if watched else whole_groups(self.groups, start, last)

        def turn(index: int) -> None:
            node = self.nodes[index]
            node.layer.reshape(node.bottoms, node.tops)
            if index not in grouped:
                node.run()
            elif group := grouped[index]:
                group.run_forward()

        recorded = {} if watched else self.recording.of_pass(start, last, turn)
        for index in range(start, last + 1):
            for callback in callbacks.before_forward:
                callback(index)
            try:
                if index in recorded:
                    recorded[index]()
                else:
                    turn(index)
                    if not self.recording.holds():
                        recorded = {}
            except Exception as error:
                self.recording.failed()
                self.nodes[index].name_in(error)
                raise
            for callback in callbacks.after_forward:
                callback(index)
        self.recording.done(start, last)
        return self._finish(start, last)

    def _finish(self, start: int, last: int) -> float:
        """Read what a pass has found, all at once: wrong labels, and the weighted loss."""
        nodes = self.nodes[start : last + 1]
        check_values(nodes, self.nodes)
        loss = np.float32(0)
        for node in nodes:
            for top in node.losses:
                loss += node.weighted(top)
        return float(loss)

    def backward_pass(self, start: int | None = None, end: int = 0) -> None:
        """Run the layers back from `start` (default the last) to `end`, inclusive."""
        if self.memory_plan:
            raise NetError("a net that shares memory cannot run back: the blobs are overwritten")
        callbacks = self.callbacks
        watched = callbacks.before_backward or callbacks.after_backward
        grouped = {} if watched else whole_groups(self.groups, end, self._last(start))
        for index in range(self._last(start), end - 1, -1):
            for callback in callbacks.before_backward:
                callback(index)
            node = self.nodes[index]
            try:
                if index not in grouped:
                    node.run_back()
                elif group := grouped[index]:
                    group.run_backward()
            except Exception as error:
                node.name_in(error)
                raise
            for callback in (*callbacks.after_backward, *callbacks.gradients_ready):
                callback(index)

    def _last(self, index: int | None) -> int:
        return len(self.nodes) - 1 if index is None else index

    def propagate_shapes(self) -> None:
        """Give every blob the shape that follows from the inputs' shapes, without computing."""
        for node in self.nodes:
            node.layer.reshape(node.bottoms, node.tops)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        self.flat_params.clear_diff(self.device)

    def seek(self, batch: int) -> None:
        """Move the data layers so that the next forward reads batch number `batch` of the run."""
        for node in self.nodes:
            node.kind.seek(node.layer, batch)

    def close(self) -> None:
        """End the data layers' threads and close their files."""
        for node in self.nodes:
            node.kind.close(node.layer)

    # --- looking up --------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order; a new list at each access, as `layer_names` is."""
        return [node.layer for node in self.nodes]

    @property
    def layer_names(self) -> list[str]:
        """The names of the layers, in order."""
        return [node.name for node in self.nodes]

    @property
    def input_blobs(self) -> list[Blob]:
        """The tops of the Input layers."""
        return [self.blob_dict[name] for name in self.input_names]

    @property
    def output_blobs(self) -> list[Blob]:
        """The tops that no layer reads, in the order of `output_names`."""
        return [self.blob_dict[name] for name in self.output_names]

    def layer_index(self, name: str) -> int:
        """The position of a layer; NetError with the names there are when it is unknown."""
        names = self.layer_names
        if name not in names:
            known = f"{did_you_mean(name, names)} (it has: {', '.join(names)})"
            raise UnknownName(f"no layer '{name}' in the net{known}")
        return names.index(name)

    # --- weights -----------------------------------------------------------------------------

    def copy_trained_from(self, source: pb.NetParameter, origin: str = "the source") -> None:
        """Take the weights of the layers that have the same name; others are left alone.

        `origin` names the file in the log and in errors. Raises SnapshotError when a layer's blobs
        differ in number or shape, or when none fits; the net is then as it was.
        """
        weights.copy_trained(self.nodes, source, origin)

    def share_trained_from(self, other: Net) -> None:
        """Use the parameters of another net's layers of the same name, without copying."""
        weights.share_trained(self.nodes, other.nodes)
        self.flat_params.rejoin()

    def to_proto(self, write_diff: bool = False) -> pb.NetParameter:
        """The net with its weights (and gradients): what a .caffemodel holds."""
        return weights.to_proto(self.name, self.nodes, write_diff)
