"""A small net that calls the kernels of one family: the example of a layer that uses it."""

from __future__ import annotations

from ..device import known_families
from ..errors import Error, did_you_mean
from ..layer import known_types, layer_class
from ..layer_example import example_net, example_text, needs_files
from ..proto import minicaffe_pb2 as pb
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
    net = example_net(usable[0])
    net.force_backward = True
    return net, Prototxt(f"docstring of {usable[0]}Layer", example_text(usable[0]))
