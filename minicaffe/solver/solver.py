"""The solver: the loop of forward, backward and update, and what happens between iterations.

In a run of several ranks every rank makes the same iterations; the root (rank 0) alone tests,
displays and writes snapshots.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from .. import context
from ..blob import SyncedArray
from ..device import synchronize
from ..errors import SolverError
from ..net.debug_info import DebugInfo
from ..net.match import Match
from ..net.net import Net
from ..net.scores import Scores, score
from ..net.weights import load_weights
from ..proto import minicaffe_pb2 as pb
from . import log as solver_log
from .callbacks import Callbacks, Functions, Iteration
from .divergence import Divergence
from .learning_rate import LearningRate
from .log import Clock, WindowMean
from .nets import batch_size, testing_nets, training_net, weight_files
from .settings import check_settings
from .snapshot import restore_snapshot, take_snapshot
from .state import check_place
from .update import choose_device, clip_factor, update_parameters

log = logging.getLogger("minicaffe.solver")

REQUESTS = frozenset({"stop", "snapshot", "diverged"})


class Solver:
    """Trains a net as a SolverParameter says; one subclass an update rule, in `rules/`.

    A subclass defines `type`, `rule`, and its `numbers` and `history_sets`. Attributes for all:
    `net`, `test_nets`, `iter`, `lr`, `param`, `smoothed_loss`, `callbacks`, and `history` (a flat
    array a set, as long as all parameters). The random stream is seeded with random_seed + rank
    before the nets are built. `share_memory`: the blobs of test nets share memory; then their
    outputs alone can be looked at. `fuse`: neighbours in the nets run as one where they can.
    Raises SolverError for parameters that are missing or contradict each other.
    """

    type: ClassVar[str]
    history_sets: ClassVar[int] = 1

    def __init__(
        self,
        param: pb.SolverParameter,
        *,
        net_class: Callable[..., Net] = Net,
        device: str | None = None,
        share_memory: bool = True,
        fuse: bool = True,
    ) -> None:
        self.param = pb.SolverParameter()
        self.param.CopyFrom(param)
        self.rank = context.current().solver_rank
        self.root = context.current().root_solver
        self.callbacks = Callbacks()
        self.check()
        self.rate = LearningRate(self.param)
        if param.random_seed >= 0:
            context.set_random_seed(param.random_seed + self.rank)
        self._build = partial(net_class, device=device, fuse=fuse)
        self._share_memory = share_memory
        wanted = training_net(self.param)
        self._log("Creating training net from %s", wanted.origin)
        self.net = self._build(wanted.param)
        self.matches = self._load_weights(self.net)  # what the files of weights have for it
        self.debug_info = DebugInfo(self.net)
        self.test_nets: list[Net] = []
        if self.root:
            self.build_test_nets()
        self.device = choose_device(self.net.device, self.root)
        shape = (self.net.flat_params.count,)
        self.history = [SyncedArray(shape) for _ in range(self.history_sets)]
        self.iter = 0
        self._mean_loss = WindowMean(self.param.average_loss)
        self._divergence = Divergence(self.net, self.device, self.callbacks)
        self.stops_at_nan = False  # set it: numbers that are not finite then end the training
        self._requests: set[str] = set()
        self._last_backward = False
        self.net.callbacks.gradients_ready.append(self._after_backward)
        self._log("Solver scaffolding done.")

    # --- for the rules -----------------------------------------------------------------------

    def check(self) -> None:
        """Raise SolverError for parameters that the solver cannot work with."""
        check_settings(self.param)
        if self.param.snapshot and self.root:
            check_place(self.param)

    def numbers(self) -> tuple[float, ...]:
        """The rule's own numbers in this iteration."""
        return ()

    @staticmethod
    def rule(w: Any, g: Any, rate: Any, *history_and_numbers: Any) -> tuple[Any, ...]:
        """What is taken off a weight w with gradient g; after it, the new history of w.

        After `rate` come the former history, a number for each of `history_sets`, and `numbers()`,
        all float32. A device calls it with arrays or compiles it: no `if` on an element, but
        arithmetic, numbers of its file, `np.sqrt`, `np.sign`, `np.where`, `np.maximum` ...
        """
        raise SolverError("a solver class must define its rule")

    # --- construction ------------------------------------------------------------------------

    def _load_weights(self, net: Net) -> list[Match]:
        found = []
        for path in weight_files(self.param):
            self._log("Finetuning from %s", path)
            found.append(load_weights(net, path))
        return found

    def build_test_nets(self) -> None:
        """Build the test nets where they are not yet (on ranks other than the root).

        A callback whose `run_test` uses them on all ranks calls this on all ranks. It leaves the
        random stream of ranks other than the root alone.
        """
        if self.test_nets:
            return
        state = context.current().rng.get_state()
        for index, wanted in enumerate(testing_nets(self.param)):
            self._log("Creating test net (#%d) specified by %s", index, wanted.origin)
            shares = self._share_memory and wanted.param.state.phase == pb.TEST
            net = self._build(wanted.param, share_memory=shares)
            self._load_weights(net)
            DebugInfo(net).enabled = self.param.debug_info
            self.test_nets.append(net)
        if not self.root:
            context.current().rng.set_state(state)

    def close(self) -> None:
        """End the threads and close the files of the nets' data layers."""
        for net in (self.net, *self.test_nets):
            net.close()

    # --- the loop ----------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The rate of this iteration, before the parameters' multipliers."""
        return float(self.rate(self.iter))

    @property
    def smoothed_loss(self) -> float:
        """The mean of the last average_loss losses."""
        return self._mean_loss.value

    def step(self, n: int) -> None:
        """Make n iterations; fewer when a request "stop" comes in between."""
        self._advance(n)

    def _advance(self, n: int) -> bool:
        """Make n iterations; False when they were cut short."""
        param, last = self.param, self.iter + n
        self._mean_loss = WindowMean(param.average_loss)
        clock = Clock(self.iter)
        while self.iter < last:
            self.net.clear_param_diffs()
            if self._due(param.test_interval) and (self.iter > 0 or param.test_initialization):
                self._test_all()
            self._iterate(clock)
            requests = self._agreed_requests()
            if "diverged" in requests:
                self._divergence.end(self)
            if self._due(param.snapshot) or "snapshot" in requests:
                self.snapshot()
            if "stop" in requests:
                return False
        return True

    def _iterate(self, clock: Clock) -> None:
        """One iteration: gradients, display, update."""
        param, started = self.param, time.perf_counter()
        self.callbacks.call("on_start", self)
        display = self._due(param.display)
        self.debug_info.enabled = display and param.debug_info
        loss = self._forward_backward()
        self._divergence.look(loss, self.iter, tested=self._due(param.test_interval))
        self._mean_loss.add(loss)
        if display and self.root:
            solver_log.display(clock, self.iter, param.display, self.smoothed_loss, self.net)
        self.callbacks.call("on_gradients_ready", self)
        if self.stops_at_nan and not self._divergence.gradients_are_finite():
            self._divergence.end(self)
        rate = self.apply_update()
        synchronize(self.net.device)  # the time is that of the whole iteration
        iteration = Iteration(
            number=self.iter - 1,
            loss=loss,
            smoothed_loss=self.smoothed_loss,
            lr=rate,
            samples=param.iter_size * batch_size(self.net),
            seconds=time.perf_counter() - started,
        )
        self.callbacks.call("on_iteration", self, iteration)

    def solve(self, resume: str | None = None, weights: str | None = None) -> None:
        """Train until max_iter, from the beginning or from a .solverstate file (see `restore`)."""
        if self.param.snapshot_after_train and self.root:
            check_place(self.param)
        self._log("Solving %s", self.net.name)
        self._log("Learning Rate Policy: %s", self.param.lr_policy)
        if resume:
            self._log("Restoring previous solver status from %s", resume)
            self.restore(resume, weights)
        finished = self._advance(self.param.max_iter - self.iter)
        self._divergence.look_at_weights(self.iter)
        if self.param.snapshot_after_train and not self._due(self.param.snapshot):
            self.snapshot()
        if not finished:
            self._log("Optimization stopped early.")
            return
        if self._due(self.param.display) and self.root:
            self._mean_loss.add(self.net.forward_pass())
            self._log("Iteration %d, loss = %g", self.iter, self.smoothed_loss)
        if self._due(self.param.test_interval):
            self._test_all()
        self._log("Optimization Done.")

    def _forward_backward(self) -> float:
        loss, batches = 0.0, self.param.iter_size
        for batch in range(batches):
            self._last_backward = batch == batches - 1
            loss += self.net.forward_pass()
            if self.stops_at_nan:
                self._divergence.mark(loss)
            self.net.backward_pass()
        self._last_backward = False
        return loss / batches

    def _after_backward(self, index: int) -> None:
        if self._last_backward:
            self.callbacks.call("after_backward", self, index)

    def _due(self, every: int) -> bool:
        """Whether this iteration is one of those every so many; 0 is never."""
        return every > 0 and self.iter % every == 0

    # --- update ------------------------------------------------------------------------------

    def apply_update(self) -> float:
        """Change all parameters by their accumulated gradients; returns the rate.

        It counts the iteration. Gradients are clipped, divided by iter_size and regularised in this
        order; afterwards the diffs hold the changes.
        """
        rate = self.rate(self.iter)
        if self._due(self.param.display):
            self._log("Iteration %d, lr = %g", self.iter, rate)
        params = self.net.flat_params
        clip = clip_factor(params, self.param.clip_gradients, self.device, self.root)
        update_parameters(params, self.history, self.rule, rate, self.numbers(),
                          param=self.param, device=self.device, clip=clip)  # fmt: skip
        self.iter += 1
        return float(rate)

    # --- tests -------------------------------------------------------------------------------

    def _test_all(self) -> None:
        together = self.callbacks.first("run_test")
        for index in range(len(self.param.test_iter)):
            self._log("Iteration %d, Testing net (#%d)", self.iter, index)
            if together:
                scores = together(self, index)
            elif self.root:
                scores = self.run_test(index)
            else:
                continue
            if scores is None:
                self._log("Test interrupted.")
                return
            if self.root:
                solver_log.display_test(self.test_nets[index], scores, self.param)
            self.callbacks.call("on_test", self, index, scores.by_name())

    def run_test(self, index: int) -> Scores | None:
        """Test a net on its test_iter batches, with the weights of this moment.

        None when a request "stop" interrupts it.
        """
        self.test_nets[index].share_trained_from(self.net)
        batches = self.param.test_iter[index]
        return score(self.test_nets[index], batches, lambda: "stop" in self._requests)

    # --- requests, callbacks, log ------------------------------------------------------------

    def request(self, what: str) -> None:
        """Ask for one of REQUESTS at the end of this iteration; from any thread or signal."""
        if what not in REQUESTS:
            raise SolverError(f"no request '{what}' (there are: {', '.join(sorted(REQUESTS))})")
        self._requests.add(what)

    def _agreed_requests(self) -> frozenset[str]:
        if self.stops_at_nan and self._divergence.found:
            self._requests.add("diverged")
        requests = frozenset(self._requests)
        self._requests -= requests
        agree = self.callbacks.first("on_requests")
        return frozenset(agree(self, requests)) if agree else requests

    def _log(self, message: str, *args: Any) -> None:
        if self.root:
            log.info(message, *args)

    # --- snapshots ---------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write weights and solver state as files of snapshot_prefix and the iteration.

        All ranks call it at the same iteration; the root writes.
        """
        self._divergence.look_at_weights(self.iter)
        take_snapshot(self)

    def restore(self, path: str, weights: str | None = None) -> None:
        """Go back to a snapshot: weights (the test nets' too), history, iteration, chance, data.

        `weights` is the file of its weights, where that is not the one that the state names.
        Raises SnapshotError, and changes nothing, when the files do not fit this solver.
        """
        restore_snapshot(self, path, weights)

    # --- pycaffe -----------------------------------------------------------------------------

    def add_callback(
        self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]
    ) -> None:
        """pycaffe's callbacks: two functions without arguments."""
        self.callbacks.append(Functions(on_start, on_gradients_ready))

    def share_weights(self, net: Net) -> None:
        """Let another net use the parameters that are trained here, by the layers' names."""
        net.share_trained_from(self.net)
