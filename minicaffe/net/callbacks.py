"""What is called around each layer of a net's passes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LayerCallback = Callable[[int], Any]


@dataclass
class NetCallbacks:
    """Functions by when they are called; each is given the layer's index.

    Those of the first four lists see the blobs as this layer finds and leaves them, so while there
    are any, a pass runs layer by layer. Those of `gradients_ready` only learn that the gradients
    of the layer's parameters are complete; neighbours may have run as one.
    """

    before_forward: list[LayerCallback] = field(default_factory=list)
    after_forward: list[LayerCallback] = field(default_factory=list)
    before_backward: list[LayerCallback] = field(default_factory=list)
    after_backward: list[LayerCallback] = field(default_factory=list)
    gradients_ready: list[LayerCallback] = field(default_factory=list)
