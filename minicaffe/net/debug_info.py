"""`debug_info: true`: the mean magnitude of every blob in the log, as a net computes it."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .net import Net
from .node import Node

log = logging.getLogger("minicaffe.net")


class DebugInfo:
    """Logs a net's passes, layer by layer, while `enabled`."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._enabled = False

    @property
    def enabled(self) -> bool:
        """Whether the passes are logged; they run layer by layer then."""
        return self._enabled

    @enabled.setter
    def enabled(self, wanted: bool) -> None:
        callbacks = self.net.callbacks
        if wanted and not self._enabled:
            callbacks.after_forward.append(self._after_forward)
            callbacks.after_backward.append(self._after_backward)
        if self._enabled and not wanted:
            callbacks.after_forward.remove(self._after_forward)
            callbacks.after_backward.remove(self._after_backward)
        self._enabled = wanted

    def _after_forward(self, index: int) -> None:
        node = self.net.nodes[index]
        where = f"    [Forward] Layer {node.name}"
        for name, blob in zip(node.top_names, node.tops, strict=True):
            log.info("%s, top blob %s data: %g", where, name, _mean_magnitude(blob.data))
        for number, blob in enumerate(node.blobs):
            name = _param_name(node, number)
            log.info("%s, param blob %s data: %g", where, name, _mean_magnitude(blob.data))

    def _after_backward(self, index: int) -> None:
        node = self.net.nodes[index]
        where = f"    [Backward] Layer {node.name}"
        if node.needs_backward:
            bottoms = zip(node.bottom_names, node.bottoms, node.propagate_down, strict=True)
            for name, blob, propagated in bottoms:
                if propagated:
                    log.info("%s, bottom blob %s diff: %g", where, name, _mean_magnitude(blob.diff))
            for number, blob in enumerate(node.blobs):
                if node.layer.param_propagate_down[number]:
                    name, mean = _param_name(node, number), _mean_magnitude(blob.diff)
                    log.info("%s, param blob %s diff: %g", where, name, mean)
        if index == 0:
            self._log_all_params()

    def _log_all_params(self) -> None:
        data, diff = (
            array.read("cpu").astype(np.float64)
            for array in (self.net.flat_params.data, self.net.flat_params.diff)
        )
        log.error(
            "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
            np.abs(data).sum(),
            np.abs(diff).sum(),
            np.sqrt((data**2).sum()),
            np.sqrt((diff**2).sum()),
        )


def _param_name(node: Node, number: int) -> str:
    """The name that the prototxt gives a parameter, or its number."""
    specs = node.param.param
    return (specs[number].name if number < len(specs) else "") or str(number)


def _mean_magnitude(array: Any) -> float:
    values = array.read("cpu")
    return float(np.abs(values).sum(dtype=np.float64)) / max(int(values.size), 1)
