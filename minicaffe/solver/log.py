"""What a solver says while it trains, line by line as Caffe does, for the tools that read logs."""

from __future__ import annotations

import logging
import time

import numpy as np
from numpy.typing import NDArray

from ..net.net import Net
from ..net.scores import Scores, output_values
from ..proto import minicaffe_pb2 as pb

log = logging.getLogger("minicaffe.solver")


class Clock:
    """Measures the iterations a second between two displays."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration
        self.started = time.perf_counter()

    def lap(self, iteration: int) -> tuple[float, float]:
        """Iterations a second and seconds since the last call."""
        now = time.perf_counter()
        seconds, iterations = now - self.started, iteration - self.iteration
        self.iteration, self.started = iteration, now
        return iterations / (seconds or 1.0), seconds


class WindowMean:
    """The mean of the last values, as many as the window is long, kept as Caffe keeps it."""

    def __init__(self, window: int) -> None:
        self.value = 0.0
        self.window = window
        self.recent: list[float] = []
        self.count = 0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        place = self.count % self.window
        self.count += 1
        if len(self.recent) < self.window:
            self.recent.append(value)
            self.value = (self.value * (self.count - 1) + value) / self.count
        else:
            self.value += (value - self.recent[place]) / self.window
            self.recent[place] = value


def display(clock: Clock, iteration: int, every: int, loss: float, net: Net) -> None:
    """The loss and the outputs of the training net; `every` so many iterations they are shown."""
    rate, seconds = clock.lap(iteration)
    log.info(
        "Iteration %d (%g iter/s, %gs/%d iters), loss = %g", iteration, rate, seconds, every, loss
    )
    _log_outputs("Train", net, *output_values(net))


def display_test(net: Net, scores: Scores, param: pb.SolverParameter) -> None:
    """The mean outputs of a test net, and its loss with test_compute_loss."""
    if param.test_compute_loss:
        log.info("Test loss: %g", scores.loss)
    _log_outputs("Test", net, scores.names, scores.values)


def _log_outputs(kind: str, net: Net, names: list[str], values: NDArray[np.float32]) -> None:
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        weight = net.blob_loss_weights[name]
        loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
        log.info("    %s net output #%d: %s = %g%s", kind, index, name, value, loss)
