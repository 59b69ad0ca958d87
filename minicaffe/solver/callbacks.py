"""How others join a solver: what it calls, and when.

Callbacks are objects in `solver.callbacks`. Each may have any of these methods; distribution is
one such object, a logger of metrics another, and the solver knows neither.

    on_start(solver)                     before an iteration's first forward
    after_backward(solver, layer_index)  this layer's gradients of the iteration are complete
    on_gradients_ready(solver)           all gradients are; the update has not begun
    on_iteration(solver, iteration)      after the update, with an `Iteration`
    on_divergence(text)                  once, when loss, weights or scores are not finite: what
                                         there is to say; without such a method the log says it
    on_test(solver, index, results)      after a test of test net `index`: values by output name
    on_snapshot(solver, path)            on the root, when a snapshot is whole: its state's path
    on_requests(solver, requests)        returns the requests that hold in this iteration, given
                                         those made on this rank: here the ranks agree
    gather_random_states(solver)         at a snapshot: returns the states of all ranks, in order
    gather_residuals(solver)             at a snapshot, next: returns what each rank keeps back of
                                         its gradients, flat arrays in the order of ranks; only
                                         what the root returns counts
    on_restore(solver, residuals)        back at a snapshot, with what was gathered there
    run_test(solver, index)              returns the `Scores` of a test that all ranks take part in
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Iteration:
    """What an iteration gave: its loss, rate, items (of all its batches) and time."""

    number: int
    loss: float
    smoothed_loss: float
    lr: float
    samples: int
    seconds: float


class Callbacks(list[Any]):
    """The callbacks of a solver, in the order in which they are called."""

    def call(self, name: str, *args: Any) -> None:
        """Call the method of this name on all that have it."""
        for callback in self:
            method = getattr(callback, name, None)
            if method:
                method(*args)

    def first(self, name: str) -> Callable[..., Any] | None:
        """The method of this name of the first callback that has it."""
        methods = (getattr(callback, name, None) for callback in self)
        return next((method for method in methods if method), None)


class Functions:
    """pycaffe's kind of callback: two functions without arguments."""

    def __init__(self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]) -> None:
        self.on_start = lambda solver: on_start()
        self.on_gradients_ready = lambda solver: on_gradients_ready()
