"""From a prototxt's layers to the layers that are built: filtered by state, with splits inserted.

Both steps take a NetParameter and return a new one. `analyse_backward` then decides, on the graph
of blob names, which layers and bottoms take part in the backward pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..errors import NetError, did_you_mean
from ..proto import minicaffe_pb2 as pb
from ..proto.places import Place, follow
from .node import Node

Origin = tuple[int, int]  # (layer, top) that wrote a blob


def filter_net(param: pb.NetParameter) -> pb.NetParameter:
    """The net without the layers that its `state` (phase, level, stages) leaves out.

    A layer with `include` rules is in when one of them is met, otherwise it is in unless one of
    its `exclude` rules is met.
    """
    filtered = pb.NetParameter()
    filtered.CopyFrom(param)
    del filtered.layer[:]
    for layer in param.layer:
        if layer.include and layer.exclude:
            raise NetError(f"layer '{layer.name}' has both include and exclude rules: use one kind")
        if layer.include:
            wanted = any(meets(param.state, rule) for rule in layer.include)
        else:
            wanted = not any(meets(param.state, rule) for rule in layer.exclude)
        if wanted:
            filtered.layer.add().CopyFrom(layer)
    return filtered


def meets(state: pb.NetState, rule: pb.NetStateRule) -> bool:
    """Whether a state meets all conditions that a rule sets."""
    return not (
        (rule.HasField("phase") and rule.phase != state.phase)
        or (rule.HasField("min_level") and state.level < rule.min_level)
        or (rule.HasField("max_level") and state.level > rule.max_level)
        or any(stage not in state.stage for stage in rule.stage)
        or any(stage in state.stage for stage in rule.not_stage)
    )


def places_after(
    original: pb.NetParameter,
    places: list[Place | None],
    filtered: pb.NetParameter,
    built: pb.NetParameter,
) -> list[Place | None]:
    """The places in the prototxt of the layers that are built; None for the Splits put between."""
    if not any(places):
        return [None] * len(built.layer)
    waiting = list(zip(filtered.layer, follow(original.layer, places, filtered.layer), strict=True))
    found: list[Place | None] = []
    for layer in built.layer:
        mine = waiting and (waiting[0][0].name, waiting[0][0].type) == (layer.name, layer.type)
        found.append(waiting.pop(0)[1] if mine else None)
    return found


def insert_splits(param: pb.NetParameter) -> pb.NetParameter:
    """The net with a Split layer after every top that several layers read.

    A non-zero loss weight on the top counts as one more reader: output 0 of the Split carries it.
    """
    source_of, readers, weights = _count_readers(param)
    split = pb.NetParameter()
    split.CopyFrom(param)
    del split.layer[:]
    used: dict[Origin, int] = defaultdict(int)

    def output(origin: Origin, blob: str) -> str:
        name = f"{_split_name(blob, param.layer[origin[0]].name, origin[1])}_{used[origin]}"
        used[origin] += 1
        return name

    for index, layer in enumerate(param.layer):
        copy = split.layer.add()
        copy.CopyFrom(layer)
        for bottom_index, blob in enumerate(layer.bottom):
            origin = source_of[index, bottom_index]
            if readers[origin] > 1:
                copy.bottom[bottom_index] = output(origin, blob)
        for top_index, blob in enumerate(layer.top):
            origin = (index, top_index)
            if readers[origin] <= 1:
                continue
            weight = weights.get(origin, 0.0)
            _add_split(split, layer.name, blob, top_index, readers[origin], weight)
            if weight:
                del copy.loss_weight[:]
                used[origin] += 1
    return split


def _count_readers(
    param: pb.NetParameter,
) -> tuple[dict[Origin, Origin], dict[Origin, int], dict[Origin, float]]:
    """For every bottom its source, for every top the number of readers and the loss weight."""
    last_writer: dict[str, Origin] = {}
    source_of: dict[Origin, Origin] = {}
    readers: dict[Origin, int] = defaultdict(int)
    weights: dict[Origin, float] = {}
    for index, layer in enumerate(param.layer):
        for bottom_index, blob in enumerate(layer.bottom):
            if blob not in last_writer:
                raise NetError(
                    f"layer '{layer.name}', bottom {bottom_index}: unknown blob '{blob}'"
                    f" (known here: {', '.join(last_writer) or 'none'})"
                    f"{did_you_mean(blob, last_writer)}"
                )
            source_of[index, bottom_index] = last_writer[blob]
            readers[last_writer[blob]] += 1
        for top_index, blob in enumerate(layer.top):
            if blob in last_writer and blob not in layer.bottom[top_index : top_index + 1]:
                first = param.layer[last_writer[blob][0]].name
                raise NetError(
                    f"layer '{layer.name}': top blob '{blob}' has a producer already,"
                    f" layer '{first}': give it another name"
                )
            last_writer[blob] = (index, top_index)
        for blob, weight in zip(layer.top, layer.loss_weight, strict=False):
            weights[last_writer[blob]] = weight
            readers[last_writer[blob]] += bool(weight)
    return source_of, readers, weights


def _split_name(blob: str, layer: str, top_index: int) -> str:
    return f"{blob}_{layer}_{top_index}_split"


def _add_split(
    param: pb.NetParameter, layer: str, blob: str, top_index: int, count: int, weight: float
) -> None:
    name = _split_name(blob, layer, top_index)
    split = param.layer.add(name=name, type="Split", bottom=[blob])
    split.top.extend(f"{name}_{k}" for k in range(count))
    if weight:
        split.loss_weight.extend([weight] + [0.0] * (count - 1))


def analyse_backward(nodes: Sequence[Node]) -> None:
    """Clear the backward flags of layers and bottoms whose gradient would reach no loss.

    A layer goes backward when a loss lies after it and not all of its tops are cut off (a top is
    cut off when each reader has `propagate_down: false`, or itself reaches no loss).
    """
    under_loss: set[str] = set()
    cut_off: set[str] = set()
    for node in reversed(nodes):
        contributes = any(
            weight or name in under_loss
            for weight, name in zip(node.loss_weights, node.top_names, strict=True)
        )
        if all(name in cut_off for name in node.top_names):
            node.needs_backward = False
            node.propagate_down = [False] * len(node.propagate_down)
        if contributes:
            under_loss.update(node.bottom_names)
        else:
            node.needs_backward = False
            node.propagate_down = [False] * len(node.propagate_down)
        cut_off.update(
            name
            for name, wanted in zip(node.bottom_names, node.propagate_down, strict=True)
            if not wanted
        )
