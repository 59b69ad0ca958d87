"""A small net that calls the kernels of one family: the example of a layer that uses it."""

from __future__ import annotations

from ..device import known_families
from ..errors import Error, did_you_mean
from ..layer import Layer, known_types, layer_class
from ..layer_example import example_text, needs_files
from ..proto import minicaffe_pb2 as pb
from ..proto.places import keep_places
from ..proto.text_parser import TextParser
from .facts import Prototxt


def small_net(family: str) -> tuple[pb.NetParameter, Prototxt]:
    """The docstring's net of the first layer type that uses a kernel family, running back too.

    Raises Error for a family that no device has, and for one that no layer alone uses.
    """
    types = [name for name in known_types() if family in layer_class(name).kernels]
    types.sort(key=lambda name: layer_class(name).kernels.index(family))
    usable = [name for name in types if not needs_files(name)]
    if not usable:
        known = known_families("cpu") | known_families("reference")
        if family in known:
            raise Error(f"-kernel {family}: no layer calls it on its own: give a net, -model FILE")
        there = ", ".join(sorted(known))
        hint = did_you_mean(family, known) or f" (there are: {there})"
        raise Error(f"-kernel {family}: no device has such a kernel family{hint}")
    return example(usable[0])


def example(layer_type: str) -> tuple[pb.NetParameter, Prototxt]:
    """The net of a layer's docstring, with the places of its layers; it runs back if it can."""
    net, file = pb.NetParameter(), f"docstring of {layer_type}Layer"
    text = example_text(layer_type)
    parser = TextParser(text, file)
    parser.parse(net)
    net.force_backward = layer_class(layer_type).backward is not Layer.backward
    keep_places(net, zip((layer.name for layer in net.layer), parser.places(), strict=True))
    return net, Prototxt(file, text)
