"""The watch over a training: where its numbers cease to be finite is said once."""

from __future__ import annotations

import logging
import math
from typing import NoReturn, Protocol

from ..device import load_kernel
from ..errors import Error, SolverError
from ..net.net import Net
from ..net.not_finite import first_not_finite, scores_are_finite
from .callbacks import Callbacks

log = logging.getLogger("minicaffe.solver")

EVERY = 100  # iterations from one look at weights and scores to the next
HINT = "debug_info: true shows all; most often base_lr is too high"


class Ending(Protocol):
    """What is needed of a solver that ends."""

    iter: int

    def snapshot(self) -> None:
        """Write a snapshot."""


class Divergence:
    """Looks at every loss, and now and then at what a loss does not show; says once what it found.

    A loss may stay finite over weights and scores that are not, as HingeLoss does, whose largest of
    0 and nan is 0. A callback with `on_divergence` is told; without one, the log warns.
    """

    def __init__(self, net: Net, device: str, callbacks: Callbacks) -> None:
        self.net = net
        self.device = device
        self.callbacks = callbacks
        self.found = False
        self._text = ""

    def look(self, loss: float, iteration: int, *, tested: bool) -> None:
        """Take the loss of an iteration, before its update; weights and scores now and then."""
        if self.found:
            return
        if not math.isfinite(loss):
            where = first_not_finite(self.net) or "all blobs are finite again"
            self._say(f"loss is {loss:g} since iteration {iteration}: {where}")
        elif (tested or iteration % EVERY == 0) and not self._all_is_finite():
            where = first_not_finite(self.net)
            self._say(f"loss is {loss:g} at iteration {iteration}, and means nothing: {where}")

    def look_at_weights(self, iteration: int) -> None:
        """Take what the last update left, before it is written to a file."""
        if not self.found and not self._weights_are_finite():
            where = first_not_finite(self.net)
            self._say(f"the weights are not finite after iteration {iteration - 1}: {where}")

    def mark(self, loss: float) -> None:
        """Before backward: spoil a gradient where the loss is not finite.

        Ranks exchange their gradients, so that all of them know before the update.
        """
        if not math.isfinite(loss) and self.net.flat_params.count:
            self.net.flat_params.diff.update("cpu")[0] = math.nan

    def gradients_are_finite(self) -> bool:
        """Whether those of all parameters are: of all ranks, once the ranks have exchanged them."""
        norm = load_kernel("norm", self.device)
        return math.isfinite(norm.sum_of_squares(self.net.flat_params.diff.read(self.device)))

    def end(self, solver: Ending) -> NoReturn:
        """Raise SolverError, with what was found; before it the state becomes a snapshot.

        All ranks call it at the same iteration. Weights that are not finite are not written.
        """
        self.found = True
        what = self._text or f"the gradients of iteration {solver.iter} are not finite ({HINT})"
        if not self._weights_are_finite():
            kept = "no snapshot is written, for the weights are not finite either"
        else:
            try:
                solver.snapshot()
                kept = f"the state before is the snapshot of iteration {solver.iter}"
            except Error as error:
                kept = f"there is no snapshot of the state before: {error}"
        raise SolverError(f"{what}; the training ends here, {kept} (-on_nan go trains on)")

    def _all_is_finite(self) -> bool:
        return self._weights_are_finite() and scores_are_finite(self.net)

    def _weights_are_finite(self) -> bool:
        norm = load_kernel("norm", self.device)
        return math.isfinite(norm.sum_of_squares(self.net.flat_params.data.read(self.device)))

    def _say(self, what: str) -> None:
        self.found = True
        self._text = text = f"{what} ({HINT})"
        tell = self.callbacks.first("on_divergence")
        if tell:
            tell(text)
        else:
            log.warning("%s", text)
