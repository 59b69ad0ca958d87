"""Taking a snapshot of a solver, and going back to one."""

from __future__ import annotations

import logging
from typing import ClassVar, Protocol

from .. import context
from ..blob import SyncedArray
from ..net.net import Net
from ..net.weights import load_weights
from ..proto import minicaffe_pb2 as pb
from . import state as states
from .callbacks import Callbacks
from .learning_rate import LearningRate
from .state_file import load_state
from .training_run import check_run, describe_run, move_data

log = logging.getLogger("minicaffe.solver")


class Snapshotted(Protocol):
    """What these functions need of a solver."""

    type: ClassVar[str]
    param: pb.SolverParameter
    net: Net
    test_nets: list[Net]
    history: list[SyncedArray]
    iter: int
    rate: LearningRate
    rank: int
    root: bool
    callbacks: Callbacks


def take_snapshot(solver: Snapshotted) -> None:
    """Write weights and state: all ranks call it at the same iteration, the root writes."""
    gather = solver.callbacks.first("gather_random_states")
    random_states = gather(solver) if gather else [context.current().rng.get_state()]
    gather = solver.callbacks.first("gather_residuals")
    residuals = gather(solver) if gather else ()
    if not solver.root:
        return
    flat = [array.read("cpu") for array in solver.history]
    state = states.State(
        iteration=solver.iter,
        step=solver.rate.current_step,
        history=states.by_parameter(flat, solver.net.flat_params),
        random_states=random_states,
        residuals=residuals,
        run=describe_run(solver.type, solver.param, solver.net),
    )
    path = states.write(state, solver.net, solver.param)
    solver.callbacks.call("on_snapshot", solver, path)


def restore_snapshot(solver: Snapshotted, path: str, weights: str | None = None) -> None:
    """Go back to a snapshot: weights (the test nets' too), history, iteration, chance, data.

    Raises SnapshotError, and changes nothing, when the files do not fit this solver.
    """
    params = solver.net.flat_params
    message = load_state(path)
    if weights is not None:
        message.learned_net = weights
    if message.HasField("run"):
        check_run(message.run, describe_run(solver.type, solver.param, solver.net), path)
    state = states.read(message, path, solver.type, len(solver.history), params, solver.rank)
    if state.learned_net:
        load_weights(solver.net, state.learned_net)
    for net in solver.test_nets:
        net.share_trained_from(solver.net)
    if solver.root:
        log.info("%sSolver: restoring history", solver.type)
    states.set_history([array.update("cpu") for array in solver.history], params, state)
    solver.iter, solver.rate.current_step = state.iteration, state.step
    _seek(solver, state)
    here, seed = context.current(), solver.param.random_seed
    here.rng = states.resume_stream(here.rng, state, solver.rank, seed)
    solver.callbacks.call("on_restore", solver, state.residuals)


def _seek(solver: Snapshotted, state: states.State) -> None:
    """Move the data layers to where they would be if the run had not been stopped.

    Those that the state knows go on at the sample, with whatever number of ranks; others at the
    batch to which so many iterations lead.
    """
    param = solver.param
    solver.net.seek(state.iteration * param.iter_size)
    if state.run is not None:
        move_data(state.run, solver.net, solver.rank)
    if param.test_interval > 0:
        tests = -(-state.iteration // param.test_interval)
        if tests and not param.test_initialization:
            tests -= 1
        for net, batches in zip(solver.test_nets, param.test_iter, strict=False):
            net.seek(tests * batches)
