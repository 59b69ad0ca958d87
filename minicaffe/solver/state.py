"""A solver's state between two iterations, out to a snapshot and back from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import context
from ..errors import Error, SnapshotError, SolverError
from ..net.weights import (
    load_state,
    load_weights,
    save_state,
    save_state_hdf5,
    save_weights,
    save_weights_hdf5,
    snapshot_name,
    weights_of_state,
)
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import (
    array_to_blob_proto,
    blob_from_proto,
    blob_shape,
    shape_matches,
    stored_count,
)
from ..random_stream.generator import Generator

if TYPE_CHECKING:
    from .solver import Solver

log = logging.getLogger("minicaffe.solver")


def write(solver: Solver, random_states: Sequence[bytes]) -> None:
    """Write both files of a snapshot: first the weights, then the state that names them."""
    param = solver.param
    if not param.HasField("snapshot_prefix"):
        raise SolverError("a snapshot needs a snapshot_prefix")
    hdf5 = param.snapshot_format == pb.SolverParameter.HDF5
    suffix, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
    weights = snapshot_name(param.snapshot_prefix, solver.iter, f"caffemodel{suffix}")
    log.info("Snapshotting to %s file %s", kind, weights)
    (save_weights_hdf5 if hdf5 else save_weights)(solver.net, weights, param.snapshot_diff)
    state = pb.SolverState(
        iter=solver.iter,
        learned_net=weights,
        current_step=solver.rate.current_step,
        random_state=random_states,
    )
    for values in _history_slices(solver):
        state.history.append(array_to_blob_proto(values))
    path = snapshot_name(param.snapshot_prefix, solver.iter, f"solverstate{suffix}")
    log.info("Snapshotting solver state to %s file %s", kind, path)
    (save_state_hdf5 if hdf5 else save_state)(state, path)


def restore(solver: Solver, path: str) -> None:
    """Bring a solver to the state in a file; nothing changes when it does not fit."""
    state = load_state(path)
    places = _history_slices(solver)
    _check_history(solver, state, places, path)
    _check_random_state(solver, state, path)
    weights = weights_of_state(state, path)
    if weights:
        load_weights(solver.net, weights)
    if solver.root:
        log.info("%sSolver: restoring history", solver.type)
    for proto, values in zip(state.history, places, strict=True):
        values[...] = blob_from_proto(proto).reshape(values.shape)
    solver.iter = state.iter
    solver.rate.current_step = state.current_step
    _seek(solver)
    _restore_random_state(solver, state)


def _history_slices(solver: Solver) -> list[Any]:
    """Live views of the history: all parameters of the first set, then those of the second."""
    params = solver.net.flat_params
    return [
        array.update("cpu")[where].reshape(blob.shape)
        for array in solver.history
        for where, blob in zip(params.slices, params.blobs, strict=True)
    ]


def _check_history(solver: Solver, state: pb.SolverState, places: Sequence[Any], path: str) -> None:
    names = solver.net.flat_params.names
    if len(state.history) != len(places):
        raise SnapshotError(
            f"{path}: {len(state.history)} history blobs; {solver.type} with {len(names)}"
            f" parameters has {len(places)}"
        )
    for index, (proto, values) in enumerate(zip(state.history, places, strict=True)):
        if not shape_matches(proto, values.shape) or stored_count(proto) != values.size:
            raise SnapshotError(
                f"{path}: history blob {index} has shape {blob_shape(proto)} and"
                f" {stored_count(proto)} values, its parameter {names[index % len(names)]} has"
                f" {values.shape}"
            )


def _check_random_state(solver: Solver, state: pb.SolverState, path: str) -> None:
    if solver.rank < len(state.random_state):
        try:
            Generator(0).set_state(state.random_state[solver.rank])
        except Error as error:
            raise SnapshotError(f"{path}: {error}") from error


def _seek(solver: Solver) -> None:
    """Move the data layers to where they would be if the run had not been stopped."""
    param = solver.param
    solver.net.seek(solver.iter * param.iter_size)
    if param.test_interval > 0:
        tests = -(-solver.iter // param.test_interval)
        if tests and not param.test_initialization:
            tests -= 1
        for net, batches in zip(solver.test_nets, param.test_iter, strict=False):
            net.seek(tests * batches)


def _restore_random_state(solver: Solver, state: pb.SolverState) -> None:
    if solver.rank < len(state.random_state):
        context.current().rng.set_state(state.random_state[solver.rank])
        return
    if solver.param.random_seed >= 0:
        # Another stream than the one that the first iterations had.
        seed = solver.param.random_seed + solver.rank + 2654435761 * solver.iter
        context.current().rng = Generator(seed)
    log.info("the snapshot has no random state for rank %d: the stream begins anew", solver.rank)
