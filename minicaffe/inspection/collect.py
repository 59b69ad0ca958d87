"""All that the inspector knows of a net, collected: `inspect_net` makes the page's data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import minicaffe

from .. import context
from ..device import available, place
from ..errors import Error, MissingExtra, NetError, did_you_mean
from ..layer import Layer as AnyLayer
from ..machine.threads import num_threads
from ..net.cost import Cost, layer_cost
from ..net.net import Net
from ..net.node import Node
from ..net.roofline import Peak, measure_peak
from ..net.weights import load_weights
from ..proto import minicaffe_pb2 as pb
from ..proto.places import Place
from . import machine
from .drawing import draw
from .facts import Bound, FusedGroup, Layer, Made, Page, Passes, Picture, Prototxt
from .listings import Listings
from .passes import Passes as Run
from .passes import Seen
from .pictures import pictures
from .prepare import Shape, fill_inputs, prepare
from .sources import code_of, file_text
from .trace import Traced
from .whole_net import memory_plan, roofline

SEED = 1
DEVICES = ("reference", "cpu", "cuda")


@dataclass(frozen=True)
class Wanted:
    """What to look at, and how: `layers` empty for all, `batch` 0 for the prototxt's own."""

    phase: Literal["TRAIN", "TEST"] = "TRAIN"
    device: str = "cpu"
    devices: tuple[str, ...] = DEVICES
    iterations: int = 10
    layers: tuple[str, ...] = ()
    batch: int = 4
    dummy: bool = False
    shapes: tuple[tuple[str, Shape], ...] = ()
    weights: str = ""
    kernel: str = ""  # only calls of this family, or that run this kernel
    code: bool = True  # the kernels' listings, which take long the first time
    pictures: bool = True


Tell = Callable[[str], None]


def inspect_net(
    param: pb.NetParameter, file: Prototxt, wanted: Wanted, tell: Tell = lambda line: None
) -> Page:
    """Run a net, and say what it is, does and costs. `tell` is given lines about what takes long.

    Raises Error for a net that cannot be built, an unknown layer, and a shape that is not known;
    what cannot be had on one device, of one layer or kernel, is told in its place.
    """
    phase = pb.TRAIN if wanted.phase == "TRAIN" else pb.TEST
    with context.fresh(wanted.device):
        context.set_random_seed(SEED)
        prepared = prepare(param, phase, wanted.batch, wanted.dummy, dict(wanted.shapes))
        notes = list(prepared.notes)
        net = Net(prepared.param, phase, device=wanted.device)
        try:
            if wanted.weights:
                load_weights(net, wanted.weights)
            return _page(net, file, wanted, notes, tell)
        finally:
            net.close()


def _page(net: Net, file: Prototxt, wanted: Wanted, notes: list[str], tell: Tell) -> Page:
    missing = {name: why for name in wanted.devices if (why := _unavailable(name))}
    devices = [name for name in wanted.devices if name not in missing]
    chosen = _chosen(net, wanted.layers)
    fill_inputs(net, SEED)
    plan = memory_plan(net)
    graph = draw(net)
    run = Run(net, devices, chosen)
    if net.phase == pb.TRAIN and not run.runs_back:
        notes.append("no layer has a loss to learn from: nothing runs backward")
    tell(f"running {len(net.nodes)} layers {wanted.iterations} times on {wanted.device}")
    times = run.time(wanted.iterations)
    tell(f"tracing {len(chosen)} layers on {', '.join(run.tracers)}")
    run.trace()
    if wanted.kernel:
        run.keep(wanted.kernel)
    peak = measure_peak(wanted.device) if place(wanted.device) == "host" else None
    listings = Listings(tell)
    missing |= {
        name: tracer.door.missing
        for name, tracer in run.tracers.items()
        if tracer.door.missing and name not in missing
    }
    layers = tuple(
        _layer(net, index, run.seen[index], (times[0][index], times[1][index]), peak, listings)
        for index in chosen
    )
    groups = tuple(
        FusedGroup(
            _group_name(group.nodes), tuple(node.name for node in group.nodes), group.kernel,
            code_of(type(group)).file, listings.calls(seen.calls), seen.missing,
        )
        for group in net.groups
        if (seen := run.groups[group.first])
    )  # fmt: skip
    found = listings.make(wanted.code)
    images: tuple[Picture, ...] = ()
    if wanted.pictures:
        images = _pictures(net, run, chosen, notes)
    made = Made(
        minicaffe.__version__, machine.processor(), machine.vectors(), num_threads(), wanted.device,
        tuple(run.tracers), wanted.phase, wanted.iterations, wanted.batch, missing, tuple(notes),
    )  # fmt: skip
    names = {layer.file for layer in layers} | {group.file for group in groups} | listings.files
    texts = {name: text for name in sorted(names) if (text := file_text(name)) is not None}
    return Page(
        made, file, texts, layers, found, graph, plan, groups,
        roofline(net, peak, *times), images,
    )  # fmt: skip


def _unavailable(device: str) -> str:
    can, why = available(device)
    return "" if can else why


def _chosen(net: Net, names: Sequence[str]) -> Collection[int]:
    """The indices of the layers that are asked for."""
    known = net.layer_names
    for name in names:
        if name not in known:
            raise NetError(
                f"-layer {name}: the net has no such layer{did_you_mean(name, known)}"
                f" (it has: {', '.join(known)})"
            )
    return [index for index, name in enumerate(known) if not names or name in names]


# ---- layers -------------------------------------------------------------------------------------


def _layer(
    net: Net, index: int, seen: Seen, ms: tuple[float, float], peak: Peak | None, listings: Listings
) -> Layer:
    node, cost = net.nodes[index], layer_cost(net, index)
    code = code_of(type(node.layer))
    where = node.place or Place("", 0, 0)
    rate, share, bound = _rates(cost, sum(ms), peak)
    group = next((each for each in net.groups if each.first <= index <= each.last), None)
    return Layer(
        name=node.name,
        type=node.param.type,
        first=where.first,
        last=where.last,
        inserted=node.place is None and node.param.type == "Split",
        bottoms=tuple(node.bottom_names),
        tops=tuple(node.top_names),
        doc=inspect.getdoc(type(node.layer)) or "",
        file=code.file,
        first_line=code.first,
        last_line=code.last,
        families=() if node.kind is AnyLayer else tuple(node.kind.kernels),
        params=tuple(seen.params),
        blobs=tuple(seen.tops),
        flops=Passes(cost.forward_flops, cost.backward_flops),
        bytes=Passes(cost.forward_bytes, cost.backward_bytes),
        ms=Passes(*ms),
        gflops=rate,
        share_of_roof=share,
        bound_by=bound,
        way=_way(node),
        fused=_group_name(group.nodes) if group else "",
        calls=listings.calls(sorted(seen.calls, key=lambda call: _turn(call, net.device))),
        missing=seen.missing,
    )


def _turn(call: Traced, device: str) -> tuple[bool, bool]:
    """Where a call comes: forward first, and of each pass the calls of the net's own device."""
    return call.pass_ != "forward", call.device != device


def _rates(cost: Cost, ms: float, peak: Peak | None) -> tuple[float, float, Bound]:
    """Of both passes: operations a second (1e9), share of the roof, and what bounds."""
    flops = cost.forward_flops + cost.backward_flops
    moved = cost.forward_bytes + cost.backward_bytes
    if ms <= 0 or flops == moved == 0:
        return 0.0, 0.0, ""
    rate = flops / ms / 1e6
    if peak is None:
        return rate, 0.0, ""
    least, bound = peak.seconds(flops, moved)
    return rate, 1000 * least / ms, "arithmetic" if bound == "arithmetic" else "memory"


def _way(node: Node) -> str:
    """Which way kernels go that know several, and why."""
    ways = node.kind.ways(node.layer)
    whither = ("forward", "to the bottom", "to the parameters")
    if not ways:
        return ""
    reasons = [f" ({why})" for why in node.kind.reasons(node.layer)] or [""] * len(ways)
    return "; ".join(
        f"{where}: {way}{why}" for where, way, why in zip(whither, ways, reasons, strict=True)
    )


def _group_name(nodes: Sequence[Node]) -> str:
    return " + ".join(node.name for node in nodes)


def _pictures(net: Net, run: Run, chosen: Collection[int], notes: list[str]) -> tuple[Picture, ...]:
    try:
        return tuple(
            picture
            for index in chosen
            for picture in pictures(net.nodes[index], run.seen[index].sample)
        )
    except MissingExtra as error:
        notes.append(f"there are no pictures: {error}")
    except Error as error:
        notes.append(str(error))
    return ()
