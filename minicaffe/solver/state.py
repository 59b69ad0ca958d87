"""A solver's state between two iterations, out to a snapshot and back from it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Error, SnapshotError, SolverError, extra
from ..machine.file_system import is_far
from ..net.net import Net
from ..net.parameters import FlatParams
from ..net.weights import HDF5_PURPOSE, save_weights, save_weights_hdf5
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import (
    array_to_blob_proto,
    blob_from_proto,
    blob_shape,
    shape_matches,
    stored_count,
)
from ..random_stream.generator import Generator
from .state_file import (
    check_state,
    check_weights,
    check_writable,
    clear_half_written,
    file_checksum,
    save_state,
    save_state_hdf5,
    snapshot_name,
    state_checksum,
    weights_of_state,
)

log = logging.getLogger("minicaffe.solver")


@dataclass
class State:
    """What a solver knows between two iterations, besides the weights of its net."""

    iteration: int
    step: int  # the drops of the rate so far
    history: list[Any]  # an array a parameter, of its shape: of the first set, then of the second
    random_states: Sequence[bytes]  # of all ranks, in order
    residuals: Sequence[Any] = ()  # what each rank keeps back of its gradients: flat arrays
    run: pb.TrainingRun | None = None  # None: of a snapshot that does not know
    learned_net: str | None = None  # the file of the weights


def by_parameter(history: Sequence[Any], params: FlatParams) -> list[Any]:
    """Flat arrays, one a set of history, as views of each parameter's shape, in a state's order."""
    return [
        values[where].reshape(shape)
        for values in history
        for where, shape in zip(params.slices, params.shapes, strict=True)
    ]


def set_history(history: Sequence[Any], params: FlatParams, state: State) -> None:
    """Overwrite flat arrays, one a set of history, with those of a state."""
    for place, values in zip(by_parameter(history, params), state.history, strict=True):
        place[...] = values


def check_place(param: pb.SolverParameter) -> None:
    """Raise an Error unless snapshots can be written where the solver wants them."""
    if not param.HasField("snapshot_prefix"):
        asked = f"snapshot: {param.snapshot}" if param.snapshot else "a snapshot"
        raise SolverError(f"{asked} needs a snapshot_prefix")
    if param.snapshot_format == pb.SolverParameter.HDF5:
        extra("h5py", "hdf5", HDF5_PURPOSE)
    check_writable(param.snapshot_prefix)


def write(state: State, net: Net, param: pb.SolverParameter) -> str:
    """Write a snapshot: first the weights, then the state that names them, whose path it gives.

    Where there is no room for the state, the new weights go as well.
    """
    if not param.HasField("snapshot_prefix"):
        raise SolverError("a snapshot needs a snapshot_prefix")
    clear_half_written(param.snapshot_prefix)
    hdf5 = param.snapshot_format == pb.SolverParameter.HDF5
    suffix, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
    weights = snapshot_name(param.snapshot_prefix, state.iteration, f"caffemodel{suffix}")
    log.info("Snapshotting to %s file %s", kind, weights)
    new = not is_far(weights) and not os.path.exists(weights)
    (save_weights_hdf5 if hdf5 else save_weights)(net, weights, param.snapshot_diff)
    message = pb.SolverState(
        iter=state.iteration,
        learned_net=weights,
        current_step=state.step,
        random_state=state.random_states,
        residual=(np.ascontiguousarray(each, "<f4").tobytes() for each in state.residuals),
        weights_checksum=file_checksum(weights),
        run=state.run,
        history=map(array_to_blob_proto, state.history),
    )
    message.checksum = state_checksum(message, state.history)
    path = snapshot_name(param.snapshot_prefix, state.iteration, f"solverstate{suffix}")
    log.info("Snapshotting solver state to %s file %s", kind, path)
    try:
        (save_state_hdf5 if hdf5 else save_state)(message, path)
    except SnapshotError:
        if new:
            os.remove(weights)
        raise
    return path


def read(
    message: pb.SolverState, path: str, rule: str, sets: int, params: FlatParams, rank: int
) -> State:
    """The state in a file's message, for a solver of type `rule` with so many sets of history.

    Raises SnapshotError when it does not fit these parameters, when this rank's random state is
    none, when the weights that it names are missing, or when the checksums are those of others.
    """
    _check_history(message, rule, sets, params, path)
    if rank < len(message.random_state):
        try:
            Generator(0).set_state(message.random_state[rank])
        except Error as error:
            raise SnapshotError(f"{path}: {error}") from error
    if any(len(each) != 4 * params.count for each in message.residual):
        raise SnapshotError(f"{path}: its residuals are not those of {params.count} parameters")
    shapes = params.shapes * sets
    state = State(
        iteration=message.iter,
        step=message.current_step,
        history=[
            blob_from_proto(proto).reshape(shape)
            for proto, shape in zip(message.history, shapes, strict=True)
        ],
        random_states=list(message.random_state),
        residuals=[np.frombuffer(each, "<f4") for each in message.residual],
        run=message.run if message.HasField("run") else None,
        learned_net=weights_of_state(message, path),
    )
    check_state(message, path)
    if state.learned_net:
        check_weights(message, path, state.learned_net)
    return state


def _check_history(
    message: pb.SolverState, rule: str, sets: int, params: FlatParams, path: str
) -> None:
    wanted = [(name, shape, math.prod(shape))
              for name, shape in zip(params.names, params.shapes, strict=True)] * sets  # fmt: skip
    if len(message.history) != len(wanted):
        raise SnapshotError(
            f"{path}: {len(message.history)} history blobs; {rule} with {len(params)}"
            f" parameters has {len(wanted)}"
        )
    for index, (proto, (name, shape, count)) in enumerate(
        zip(message.history, wanted, strict=True)
    ):
        if not shape_matches(proto, shape) or stored_count(proto) != count:
            raise SnapshotError(
                f"{path}: history blob {index} has shape {blob_shape(proto)} and"
                f" {stored_count(proto)} values, its parameter {name} has {shape}"
            )


def resume_stream(stream: Generator, state: State, rank: int, seed: int) -> Generator:
    """The random stream with which a rank goes on; without a state of its own another begins.

    `stream` is what the rank has now, `seed` the solver's random_seed.
    """
    if rank < len(state.random_states):
        stream.set_state(state.random_states[rank])
        return stream
    log.info("the snapshot has no random state for rank %d: the stream begins anew", rank)
    if seed < 0:
        return stream
    # Another stream than the one that the first iterations had.
    return Generator(seed + rank + 2654435761 * state.iteration)
