"""The solver: the loop of forward, backward and update, and what happens between iterations.

In a run of several ranks every rank makes the same iterations; the root (rank 0) alone tests,
displays and writes snapshots.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import context
from ..blob import SyncedArray
from ..device import known_families, load_kernel
from ..errors import SolverError
from ..net.debug_info import DebugInfo
from ..net.net import Net
from ..net.scores import Scores, score
from ..net.weights import check_writable, load_weights
from ..proto import minicaffe_pb2 as pb
from . import log as solver_log
from . import state as solver_state
from .callbacks import Callbacks, Functions, Iteration
from .learning_rate import LearningRate
from .log import Clock, WindowMean
from .nets import WantedNet, testing_nets, training_net
from .update import Step, update_parameters

log = logging.getLogger("minicaffe.solver")

REQUESTS = frozenset({"stop", "snapshot"})


class Solver:
    """Trains a net as a SolverParameter says; one subclass an update rule, in `rules/`.

    A subclass names its kernel family and its number of history sets, and defines `update`.
    Attributes for all: `net`, `test_nets`, `iter`, `lr`, `param`, `history` (one flat array a set,
    as long as all parameters), `smoothed_loss`, `callbacks`.

    The random stream is seeded with random_seed + rank before the nets are built. `share_memory`:
    the blobs of test nets share memory; then their outputs alone can be looked at. `fuse`:
    neighbours in the nets run as one where they can (`fusion.py`). Raises
    SolverError for parameters that are missing or contradict each other.
    """

    type: ClassVar[str]
    kernel: ClassVar[str]
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
        self.rate = LearningRate(self.param)
        self.check()
        if param.random_seed >= 0:
            context.set_random_seed(param.random_seed + self.rank)
        self._net_class = net_class
        self._device = device
        self._share_memory = share_memory
        self._fuse = fuse
        wanted = training_net(self.param)
        self._log("Creating training net from %s", wanted.origin)
        self.net = self._create_net(wanted)
        self.debug_info = DebugInfo(self.net)
        self.test_nets: list[Net] = []
        if self.root:
            self.build_test_nets()
        self.device = self._choose_device()
        self.ops = load_kernel(self.kernel, self.device)
        count = self.net.flat_params.count
        self.history = [SyncedArray((count,)) for _ in range(self.history_sets)]
        self.iter = 0
        self._mean_loss = WindowMean(self.param.average_loss)
        self._requests: set[str] = set()
        self._last_backward = False
        self.net.callbacks.gradients_ready.append(self._after_backward)
        self._log("Solver scaffolding done.")

    # --- for the rules -----------------------------------------------------------------------

    def check(self) -> None:
        """Raise SolverError for parameters that the solver cannot work with."""
        param = self.param
        for name in ("average_loss", "iter_size"):
            if getattr(param, name) < 1:
                raise SolverError(f"{name} must be at least 1, not {getattr(param, name)}")
        if param.regularization_type not in ("L1", "L2"):
            raise SolverError(f"no regularization_type '{param.regularization_type}' (L1, L2)")
        if param.snapshot and self.root:
            if not param.HasField("snapshot_prefix"):
                raise SolverError(f"snapshot: {param.snapshot} needs a snapshot_prefix")
            check_writable(param.snapshot_prefix)

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """Change one parameter (all arrays flat, on `device`); leave the change in `diff`."""
        raise SolverError(f"solver class {type(self).__name__} does not define update")

    # --- construction ------------------------------------------------------------------------

    def _create_net(self, wanted: WantedNet, share_memory: bool = False) -> Net:
        net = self._net_class(
            wanted.param, device=self._device, share_memory=share_memory, fuse=self._fuse
        )
        for entry in self.param.weights:
            for path in filter(None, map(str.strip, entry.split(","))):
                self._log("Finetuning from %s", path)
                load_weights(net, path)
        return net

    def build_test_nets(self) -> None:
        """Build the test nets where they are not yet (on ranks other than the root).

        A callback whose `run_test` uses them on all ranks calls this on all ranks. The random
        stream of a rank other than the root is not touched.
        """
        if self.test_nets:
            return
        state = context.current().rng.get_state()
        for index, wanted in enumerate(testing_nets(self.param)):
            self._log("Creating test net (#%d) specified by %s", index, wanted.origin)
            shares = self._share_memory and wanted.param.state.phase == pb.TEST
            net = self._create_net(wanted, shares)
            DebugInfo(net).enabled = self.param.debug_info
            self.test_nets.append(net)
        if not self.root:
            context.current().rng.set_state(state)

    def _choose_device(self) -> str:
        families = known_families(self.net.device)
        return self.net.device if {self.kernel, "norm"} <= families else "cpu"

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
        last = self.iter + n
        self._mean_loss = WindowMean(self.param.average_loss)
        clock = Clock(self.iter)
        while self.iter < last:
            self.net.clear_param_diffs()
            if self._test_is_due() and (self.iter > 0 or self.param.test_initialization):
                self._test_all()
            self._iterate(clock)
            requests = self._agreed_requests()
            if self._snapshot_is_due() or "snapshot" in requests:
                self.snapshot()
            if "stop" in requests:
                return False
        return True

    def _iterate(self, clock: Clock) -> None:
        """One iteration: gradients, display, update."""
        started = time.perf_counter()
        self.callbacks.call("on_start", self)
        display = self._display_is_due()
        self.debug_info.enabled = display and self.param.debug_info
        loss = self._forward_backward()
        self._mean_loss.add(loss)
        if display and self.root:
            solver_log.display(self, clock)
        self.callbacks.call("on_gradients_ready", self)
        rate = self.apply_update()
        self.iter += 1
        iteration = Iteration(
            number=self.iter - 1,
            loss=loss,
            smoothed_loss=self.smoothed_loss,
            lr=rate,
            samples=self.param.iter_size * _batch_size(self.net),
            seconds=time.perf_counter() - started,
        )
        self.callbacks.call("on_iteration", self, iteration)

    def solve(self, resume: str | None = None) -> None:
        """Train until max_iter, from the beginning or from a .solverstate file."""
        self._log("Solving %s", self.net.name)
        self._log("Learning Rate Policy: %s", self.param.lr_policy)
        if resume:
            self._log("Restoring previous solver status from %s", resume)
            self.restore(resume)
        finished = self._advance(self.param.max_iter - self.iter)
        if self.param.snapshot_after_train and not self._snapshot_is_due():
            self.snapshot()
        if not finished:
            self._log("Optimization stopped early.")
            return
        if self._display_is_due() and self.root:
            self._mean_loss.add(self.net.forward_pass())
            self._log("Iteration %d, loss = %g", self.iter, self.smoothed_loss)
        if self._test_is_due():
            self._test_all()
        self._log("Optimization Done.")

    def _forward_backward(self) -> float:
        loss = 0.0
        for batch in range(self.param.iter_size):
            self._last_backward = batch == self.param.iter_size - 1
            loss += self.net.forward_pass()
            self.net.backward_pass()
        self._last_backward = False
        return loss / self.param.iter_size

    def _after_backward(self, index: int) -> None:
        if self._last_backward:
            self.callbacks.call("after_backward", self, index)

    def _display_is_due(self) -> bool:
        return self.param.display > 0 and self.iter % self.param.display == 0

    def _snapshot_is_due(self) -> bool:
        return self.param.snapshot > 0 and self.iter % self.param.snapshot == 0

    # --- update ------------------------------------------------------------------------------

    def apply_update(self) -> float:
        """Change all parameters by their accumulated gradients; returns the rate.

        Gradients are clipped, divided by iter_size and regularised in this order; afterwards the
        diffs hold the changes.
        """
        rate = self.rate(self.iter)
        if self._display_is_due():
            self._log("Iteration %d, lr = %g", self.iter, rate)
        update_parameters(self, rate)
        return float(rate)

    # --- tests -------------------------------------------------------------------------------

    def _test_is_due(self) -> bool:
        return self.param.test_interval > 0 and self.iter % self.param.test_interval == 0

    def _test_all(self) -> None:
        together = self.callbacks.first("run_test")
        for index in range(len(self.param.test_iter)):
            if self.root:
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
                solver_log.display_test(self, index, scores)
            self.callbacks.call("on_test", self, index, scores.by_name())

    def run_test(self, index: int) -> Scores | None:
        """Test a net on its test_iter batches, with the weights of this moment.

        None when a request "stop" interrupts it.
        """
        net = self.test_nets[index]
        net.share_trained_from(self.net)
        return score(net, self.param.test_iter[index], lambda: "stop" in self._requests)

    # --- requests, callbacks, log ------------------------------------------------------------

    def request(self, what: str) -> None:
        """Ask for "stop" or "snapshot" at the end of this iteration; from any thread or signal."""
        if what not in REQUESTS:
            raise SolverError(f"no request '{what}' (there are: {', '.join(sorted(REQUESTS))})")
        self._requests.add(what)

    def _agreed_requests(self) -> frozenset[str]:
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
        gather = self.callbacks.first("gather_random_states")
        states = gather(self) if gather else [context.current().rng.get_state()]
        if self.root:
            solver_state.write(self, states)

    def restore(self, path: str) -> None:
        """Go back to a snapshot: weights, history, iteration, random stream, place in the data.

        Raises SnapshotError, and changes nothing, when the files do not fit this solver.
        """
        solver_state.restore(self, path)

    # --- pycaffe -----------------------------------------------------------------------------

    def add_callback(
        self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]
    ) -> None:
        """pycaffe's callbacks: two functions without arguments."""
        self.callbacks.append(Functions(on_start, on_gradients_ready))

    def share_weights(self, net: Net) -> None:
        """Use the parameters of another net's layers of the same name."""
        self.net.share_trained_from(net)


def _batch_size(net: Net) -> int:
    """The items of a batch: the first axis of the first top that has one."""
    for node in net.nodes:
        if node.tops and node.tops[0].shape:
            return node.tops[0].shape[0]
    return 0


def known_solvers() -> dict[str, type[Solver]]:
    """The solver classes by type name, from the files in `rules/`."""
    package = importlib.import_module("minicaffe.solver.rules")
    found: dict[str, type[Solver]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Solver) and value is not Solver:
                found[value.type] = value
    return found


def create_solver(
    param: pb.SolverParameter,
    *,
    net_class: Callable[..., Net] = Net,
    device: str | None = None,
    share_memory: bool = True,
    fuse: bool = True,
) -> Solver:
    """The solver of a SolverParameter's type, with its nets built by `net_class` on a device.

    `share_memory` (for the test nets) and `fuse`: see Solver.

    Raises SolverError for an unknown type, with the known ones.
    """
    solvers = known_solvers()
    if param.type not in solvers:
        known = ", ".join(sorted(solvers))
        raise SolverError(f"no solver type '{param.type}' (there are: {known})")
    return solvers[param.type](
        param, net_class=net_class, device=device, share_memory=share_memory, fuse=fuse
    )
