"""The kernels that the net in a layer's docstring runs on a device."""

from typing import Any

from minicaffe.inspection.facts import KernelCall
from tests.layers.test_layer_docstrings import (
    FROM_FILES,
    NO_GRADIENT,
    backward,
    build,
    top_weights,
)


def calls_of_docstrings(layer_type: str, device: str, door: Any) -> list[KernelCall]:
    """Each kernel once for each list of types; none for a layer that reads files."""
    if layer_type in FROM_FILES:
        return []
    net = build(layer_type, device)
    with door.calls() as calls:
        net.forward_pass()
        if layer_type not in NO_GRADIENT:
            backward(net, top_weights(net))
    return list({(call.kernel, call.signature): call for call in calls}.values())
