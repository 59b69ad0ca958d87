"""A forward and a backward of a net, layer by layer: timed, then traced, with what blobs hold.

Each layer runs on the net's own device, and as a twin, alone and with the same values, on others.
Layers that run as one are traced one by one, and then as one too.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..blob import SyncedArray
from ..device import synchronize
from ..errors import Error, UnknownName, did_you_mean
from ..layer import Layer
from ..net.fusion import Group
from ..net.net import Net
from ..net.node import Node
from ..proto import minicaffe_pb2 as pb
from .facts import Array
from .net_facts import Pass
from .trace import Traced, Tracer, with_times
from .twin import Twin
from .values import stats

Values = NDArray[np.float32]


@dataclass
class Seen:
    """What the passes tell of a layer; `missing`: by device, why it did not run there."""

    params: list[Array] = field(default_factory=list)
    tops: list[Array] = field(default_factory=list)
    calls: list[Traced] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    sample: Values | None = None  # of the first top, the first


@dataclass
class GroupSeen:
    """What the passes tell of layers that run as one."""

    calls: list[Traced] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


class Passes:
    """Runs a net of phase TRAIN forward and back, one of phase TEST forward.

    `chosen` are the indices of the layers that are traced, on the net's device and `devices`.
    """

    def __init__(self, net: Net, devices: Sequence[str], chosen: Collection[int]) -> None:
        self.net = net
        self.tracers = {device: Tracer(device) for device in dict.fromkeys((net.device, *devices))}
        self.chosen = chosen
        self.seen = [Seen() for _ in net.nodes]
        self.groups = {group.first: GroupSeen() for group in net.groups}
        self.runs_back = any(node.needs_backward for node in net.nodes) and net.phase == pb.TRAIN
        self._twins: dict[tuple[int, str], Twin] = {}
        self._timed: dict[tuple[int, Pass], list[Traced]] = {}
        self._before: dict[int, list[Values]] = {}  # of groups

    # ---- times

    def time(self, iterations: int) -> tuple[list[float], list[float]]:
        """Milliseconds of each layer's forward and backward: the mean, after a run to warm up."""
        nodes = self.net.nodes
        forward, backward = np.zeros(len(nodes)), np.zeros(len(nodes))
        for iteration in range(iterations + 1):
            if iteration == 1:
                forward[:] = backward[:] = 0
            self.net.clear_param_diffs()
            for index in range(len(nodes)):
                start = self._now()
                self.net.forward_pass(index, index)
                forward[index] += self._now() - start
            self._weigh_outputs()
            for index in reversed(range(len(nodes))) if self.runs_back else ():
                start = self._now()
                self.net.backward_pass(index, index)
                backward[index] += self._now() - start
        scale = 1000 / max(iterations, 1)
        return [*map(float, scale * forward)], [*map(float, scale * backward)]

    def _weigh_outputs(self) -> None:
        """Let gradients of the outputs' sum run back, where no layer gives a loss."""
        if self.runs_back and not any(node.losses for node in self.net.nodes):
            for blob in self.net.output_blobs:
                blob.diff.write("cpu")[...] = 1

    def _now(self) -> float:
        synchronize(self.net.device)
        return time.perf_counter()

    # ---- what is called, and what is in the blobs

    def trace(self) -> None:
        """Two more forwards and backwards: one to time functions, one to watch all."""
        self._time_functions()
        self.net.clear_param_diffs()
        for index, node in enumerate(self.net.nodes):
            node.layer.reshape(node.bottoms, node.tops)
            if index in self.chosen:
                self._begin_twins(index, node)
            self._enter_groups(index)
            self._run(index, node, "forward")
            self._look_at_tops(index, node)
            self._group_forward(index)
        self._weigh_outputs()
        for index in reversed(range(len(self.net.nodes))) if self.runs_back else ():
            node = self.net.nodes[index]
            self._look_at_gradients(index, node)
            self._enter_groups_back(index)
            for device in self.tracers:
                if twin := self._twins.pop((index, device), None):
                    self._run_twin(index, device, twin, "backward")
            self._run(index, node, "backward")
            self._group_backward(index)
        for index, node in enumerate(self.net.nodes):
            self._look_at_params(index, node)

    def keep(self, kernel: str) -> None:
        """Forget the calls of other families, or those that do not run this kernel.

        Raises Error where none is left.
        """
        everyone: list[Seen | GroupSeen] = [*self.seen, *self.groups.values()]
        ran = {call.family for seen in everyone for call in seen.calls}
        ran |= {each.kernel for seen in everyone for call in seen.calls for each in call.kernels}
        if kernel not in ran:
            there = f"{did_you_mean(kernel, ran)} (there are: {', '.join(sorted(ran))})"
            raise UnknownName(f"-kernel {kernel}: these layers call no such kernel{there}")
        for seen in everyone:
            calls = [call for call in seen.calls if call.family == kernel or
                     kernel in [each.kernel for each in call.kernels]]  # fmt: skip
            seen.calls = [
                call._replace(kernels=tuple(each for each in call.kernels
                                            if kernel in (call.family, each.kernel)))
                for call in calls
            ]  # fmt: skip

    def _time_functions(self) -> None:
        self.net.clear_param_diffs()
        for index, node in enumerate(self.net.nodes):
            node.layer.reshape(node.bottoms, node.tops)
            self._time_layer(index, node, "forward")
        self._weigh_outputs()
        for index in reversed(range(len(self.net.nodes))) if self.runs_back else ():
            self._time_layer(index, self.net.nodes[index], "backward")

    def _time_layer(self, index: int, node: Node, pass_: Pass) -> None:
        run = node.run if pass_ == "forward" else node.run_back
        if index not in self.chosen or node.kind is Layer:
            return run()
        tracer = Tracer(node.layer.device)
        with tracer.traced(node.layer, pass_, watch=False):
            run()
        self._timed[index, pass_] = tracer.taken()

    def _run(self, index: int, node: Node, pass_: Pass) -> None:
        run = node.run if pass_ == "forward" else node.run_back
        try:
            if index not in self.chosen or node.kind is Layer:
                return run()
            tracer = self.tracers[self.net.device] if node.layer.device == self.net.device else None
            if tracer is None:  # it has fallen back to the processor
                lacking = ", ".join(node.missing)
                self.seen[index].missing[self.net.device] = f"no kernel {lacking} for this device"
                tracer = Tracer(node.layer.device)
            with tracer.traced(node.layer, pass_):
                run()
            self.seen[index].calls += with_times(tracer.taken(), self._timed[index, pass_])
        except Exception as error:
            node.name_in(error)
            raise

    def _look_at_tops(self, index: int, node: Node) -> None:
        if index in self.chosen:
            seen = self.seen[index]
            for name, top in zip(node.top_names, node.tops, strict=True):
                seen.tops.append(Array(name, top.shape, stats(top.data)))
            if node.tops and len(node.tops[0].shape) == 4 and node.tops[0].count():
                seen.sample = np.array(node.tops[0].data.read("cpu")[0])

    def _look_at_gradients(self, index: int, node: Node) -> None:
        if index in self.chosen and node.needs_backward:
            seen = self.seen[index]
            seen.tops = [
                Array(each.name, each.shape, each.stats, stats(top.diff))
                for each, top in zip(seen.tops, node.tops, strict=True)
            ]

    def _look_at_params(self, index: int, node: Node) -> None:
        if index in self.chosen:
            learns = self.runs_back and node.needs_backward
            for number, blob in enumerate(node.blobs):
                specs = node.param.param
                name = (specs[number].name if number < len(specs) else "") or str(number)
                wanted = learns and node.layer.param_propagate_down[number]
                gradient = stats(blob.diff) if wanted else None
                self.seen[index].params.append(Array(name, blob.shape, stats(blob.data), gradient))

    # ---- the same layer on other devices

    def _begin_twins(self, index: int, node: Node) -> None:
        for device in self.tracers:
            if device == self.net.device or node.kind is Layer or not node.bottoms:
                continue
            try:
                twin = Twin(node, device)
            except Error as error:
                self.seen[index].missing[device] = str(error)
                continue
            if self._run_twin(index, device, twin, "forward") and self.runs_back:
                self._twins[index, device] = twin

    def _run_twin(self, index: int, device: str, twin: Twin, pass_: Pass) -> bool:
        """Run it thrice: the first compiles, the second is timed; whether it could."""
        if pass_ == "backward" and not twin.node.needs_backward:
            return False
        tracer = self.tracers[device]
        try:
            twin.run(pass_)
            with tracer.traced(twin.node.layer, pass_, watch=False):
                twin.run(pass_)
            timed = tracer.taken()
            with tracer.traced(twin.node.layer, pass_):
                twin.run(pass_)
        except Exception as error:
            tracer.taken()
            self.seen[index].missing[device] = " ".join(str(error).split()) or type(error).__name__
            return False
        self.seen[index].calls += with_times(tracer.taken(), timed)
        return True

    # ---- layers that run as one

    def _group(self, index: int, last: bool) -> Group | None:
        ends = ((group.last if last else group.first, group) for group in self.net.groups)
        return next((group for end, group in ends if end == index and self._wanted(group)), None)

    def _wanted(self, group: Group) -> bool:
        return not set(self.chosen).isdisjoint(range(group.first, group.last + 1))

    def _enter_groups(self, index: int) -> None:
        """Keep what a group's first layer reads, which may be overwritten in place."""
        if group := self._group(index, last=False):
            bottoms = group.nodes[0].bottoms
            self._before[group.first] = [np.array(blob.data.read("cpu")) for blob in bottoms]

    def _group_forward(self, index: int) -> None:
        if group := self._group(index, last=True):
            bottoms = [blob.data for blob in group.nodes[0].bottoms]
            self._run_group(group, "forward", bottoms, self._before[group.first])

    def _enter_groups_back(self, index: int) -> None:
        if group := self._group(index, last=True):
            tops = group.nodes[-1].tops
            self._before[group.first] = [np.array(blob.diff.read("cpu")) for blob in tops]

    def _group_backward(self, index: int) -> None:
        if group := self._group(index, last=False):
            params = [blob for node in group.nodes for blob in node.blobs]
            written = [blob.diff for blob in (*group.nodes[0].bottoms, *params)]
            after = [np.array(each.read("cpu")) for each in written]
            tops = [blob.diff for blob in group.nodes[-1].tops]
            self._run_group(group, "backward", tops, self._before[group.first])
            _put(written, after)

    def _run_group(
        self, group: Group, pass_: Pass, arrays: list[SyncedArray], values: list[Values]
    ) -> None:
        """Run it thrice, as twins, each time from the `values` of the `arrays`."""
        tracer, seen = self.tracers[self.net.device], self.groups[group.first]
        run = group.run_forward if pass_ == "forward" else group.run_backward
        _put(arrays, values)
        run()
        timed: list[Traced] = []
        try:
            for watch in (False, True):
                timed = tracer.taken()
                _put(arrays, values)
                with tracer.traced(group, pass_, watch):
                    run()
        except Error as error:
            seen.missing[self.net.device] = str(error)
        calls = with_times(tracer.taken(), timed)
        seen.calls += calls
        if not calls:
            seen.missing.setdefault(self.net.device, f"{pass_} runs layer by layer here")


def _put(arrays: Sequence[SyncedArray], values: Sequence[Values]) -> None:
    for array, each in zip(arrays, values, strict=True):
        array.write("cpu")[...] = each
