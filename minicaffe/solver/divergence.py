"""The watch over a training's loss: when it is no longer finite, where that began is said once."""

from __future__ import annotations

import logging
import math

from ..net.net import Net
from ..net.not_finite import first_not_finite
from .callbacks import Callbacks

log = logging.getLogger("minicaffe.solver")


class Divergence:
    """Looks at every loss, and for a cause at the first that is not finite, never again.

    The weights are then those that gave this loss. A callback with `on_divergence` is told;
    without one, the log warns.
    """

    def __init__(self) -> None:
        self.found = False

    def look(self, loss: float, iteration: int, net: Net, callbacks: Callbacks) -> None:
        """Take the loss of an iteration, before its update."""
        if self.found or math.isfinite(loss):
            return
        self.found = True
        where = first_not_finite(net) or "all blobs are finite again"
        text = (
            f"loss is {loss:g} since iteration {iteration}: {where}"
            " (debug_info: true shows all; most often base_lr is too high)"
        )
        tell = callbacks.first("on_divergence")
        if tell:
            tell(text)
        else:
            log.warning("%s", text)
