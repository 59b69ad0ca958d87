"""What a translation to another library reads from a net: outputs, windows, layers to fuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from minicaffe.proto import minicaffe_pb2 as pb

from ..cases import Unsupported

Pair = tuple[int, int]


@dataclass(frozen=True)
class Step:
    """A layer to translate, and for a BatchNorm the Scale that follows it: other libraries have
    one operation for both.
    """

    layer: pb.LayerParameter
    scale: pb.LayerParameter | None = None
    last_use: list[str] = field(default_factory=list)  # blobs that nobody reads afterwards

    @property
    def bottoms(self) -> list[str]:
        """The names of the inputs."""
        return list(self.layer.bottom)

    @property
    def top(self) -> str:
        """The name of the output."""
        top: str = (self.scale or self.layer).top[0]
        return top


def steps(net: pb.NetParameter) -> list[Step]:
    """The layers of a net that compute something, in order."""
    found: list[Step] = []
    for layer in net.layer:
        if layer.type == "Input":
            continue
        before = found[-1].layer if found else layer
        normalised = before.type == "BatchNorm" and list(layer.bottom) == list(before.top)
        if layer.type == "Scale" and normalised:
            found[-1] = Step(before, layer)
        else:
            found.append(Step(layer))
    produced = {step.top for step in found}
    for index, step in enumerate(found):
        later = {name for other in found[index + 1 :] for name in other.bottoms}
        step.last_use.extend(produced & set(step.bottoms) - later - {step.top})
    return found


def outputs(net: pb.NetParameter) -> list[str]:
    """The tops that no layer reads."""
    left: dict[str, None] = {}
    for layer in net.layer:
        for name in layer.bottom:
            left.pop(name, None)
        left.update(dict.fromkeys(layer.top))
    return list(left)


def window(param: Any, name: str, default: int) -> Pair:
    """`kernel_size`, `stride` or `pad` of a convolution or pooling, (height, width)."""
    given = getattr(param, name)
    values = list(given) if hasattr(given, "__len__") else [given] if param.HasField(name) else []
    if not values:
        return default, default
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def across_channels(layer: pb.LayerParameter) -> Any:
    """The parameters of an LRN layer, which other libraries know for channels only."""
    if layer.lrn_param.norm_region != pb.LRNParameter.ACROSS_CHANNELS:
        raise Unsupported("LRN within channels")
    return layer.lrn_param
