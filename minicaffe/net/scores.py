"""A test of a net: the means of its outputs over a number of batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .net import Net


@dataclass(frozen=True)
class Scores:
    """Means over batches: of every element of every output, and of the loss."""

    names: list[str]  # the output's name, once for each of its elements
    values: NDArray[np.float32]
    loss: float

    def by_name(self) -> dict[str, float]:
        """The values by output name; elements of longer outputs as name[0], name[1], ..."""
        named: dict[str, float] = {}
        for index, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            several = self.names.count(name) > 1
            named[f"{name}[{index - self.names.index(name)}]" if several else name] = float(value)
        return named


def output_values(net: Net) -> tuple[list[str], NDArray[np.float32]]:
    """The elements of a net's outputs in order, and the name that each belongs to."""
    names: list[str] = []
    values = [np.empty(0, np.float32)]
    for name, blob in zip(net.output_names, net.output_blobs, strict=True):
        names += [name] * blob.count()
        values.append(blob.data.read("cpu").reshape(-1))
    return names, np.concatenate(values)


def score(net: Net, batches: int, interrupted: Callable[[], bool]) -> Scores | None:
    """Run a net forward on a number of batches; None when it was interrupted between two."""
    total: NDArray[np.float32] | None = None
    names: list[str] = []
    loss = 0.0
    for _ in range(batches):
        if interrupted():
            return None
        loss += net.forward_pass()
        names, values = output_values(net)
        total = values if total is None else total + values
    if total is None:
        return None
    return Scores(names, total / np.float32(batches), loss / batches)
