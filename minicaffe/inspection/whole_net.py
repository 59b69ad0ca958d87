"""What is told of a net as a whole: which blobs could share memory, and the roofline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..net.cost import layer_cost
from ..net.memory_plan import plan_memory
from ..net.net import Net
from ..net.roofline import Peak
from .net_facts import Life, MemoryPlan, Point, Roofline


def memory_plan(net: Net) -> MemoryPlan:
    """The plan for a net that only runs forward."""
    plan = plan_memory(net.nodes, net.output_names)
    lives = (
        Life(
            tuple(life.arrays),
            life.first,
            life.last,
            4 * life.count,
            -1 if life.buffer is None else life.buffer,
        )
        for life in plan.lives
    )
    sizes = tuple(4 * count for count in plan.buffers)
    return MemoryPlan(plan.bytes_alone, plan.bytes_shared, sizes, tuple(lives))


def roofline(
    net: Net, peak: Peak | None, forward_ms: Sequence[float], backward_ms: Sequence[float]
) -> Roofline:
    """The device's peak, and a point for each pass of each layer that computes and moves."""
    points = tuple(_points(net, forward_ms, backward_ms))
    if peak is None:
        why = f"the peak of {net.device} cannot be measured: it is not in main memory"
        return Roofline(0.0, 0.0, points, why)
    return Roofline(peak.gemm / 1e9, peak.bandwidth / 1e9, points)


def _points(net: Net, forward_ms: Sequence[float], backward_ms: Sequence[float]) -> Iterator[Point]:
    for index, node in enumerate(net.nodes):
        cost = layer_cost(net, index)
        flops, moved, ms = cost.forward_flops, cost.forward_bytes, forward_ms[index]
        if flops and moved and ms > 0:
            yield Point(node.name, "forward", flops / moved, flops / ms / 1e6)
        flops, moved, ms = cost.backward_flops, cost.backward_bytes, backward_ms[index]
        if flops and moved and ms > 0:
            yield Point(node.name, "backward", flops / moved, flops / ms / 1e6)
