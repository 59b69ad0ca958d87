"""Files of solver states (.solverstate), as protobuf or as HDF5, and the names of snapshots.

Both kinds are Caffe's, recognised by their content. A state is written after its weights, so that
where there is a state there is a whole snapshot.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..data.hdf5_file import Hdf5File
from ..data.hdf5_writing import writing_hdf5
from ..errors import SnapshotError
from ..machine.file_system import at_hand, check_far, exists, is_far
from ..machine.left_over import clear_left_over
from ..net.weights import HDF5_PURPOSE, is_hdf5, reading_hdf5, small_enough
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import array_to_blob_proto, blob_from_proto
from ..proto.files import read_binary, write_binary

log = logging.getLogger("minicaffe.solver")

BLOCK = 1 << 20  # bytes read at a time


def snapshot_name(prefix: str, iteration: int, extension: str) -> str:
    """The name of a snapshot's file: lenet_iter_500.caffemodel for the prefix lenet."""
    return f"{prefix}_iter_{iteration}.{extension}"


def check_writable(prefix: str) -> None:
    """Raise SnapshotError unless files can be made at a snapshot prefix.

    What a killed run has left half written there is removed.
    """
    if is_far(prefix):
        check_far(prefix, SnapshotError)
        return
    clear_half_written(prefix)
    probe = f"{prefix}.probe-{os.getpid()}"
    try:
        with open(probe, "wb"):
            pass
        os.remove(probe)
    except OSError as error:
        raise SnapshotError(
            f"cannot write to snapshot_prefix '{prefix}' ({error.strerror}): the directory must"
            " exist and be writable (paths in a solver count from the working directory)"
        ) from error


def clear_half_written(prefix: str) -> None:
    """Remove what snapshots with this prefix were to become, where their writers are gone."""
    if not is_far(prefix):
        folder, name = os.path.split(prefix)
        clear_left_over(folder, snapshot_name(name, 0, "").removesuffix("0."))


def save_state(state: pb.SolverState, path: str) -> None:
    """Write a solver state as protobuf."""
    write_binary(path, small_enough(state, path))


def save_state_hdf5(state: pb.SolverState, path: str) -> None:
    """Write a solver state as HDF5: iter, learned_net, current_step, history/<index>."""
    with writing_hdf5(path, SnapshotError, HDF5_PURPOSE) as file:
        file["iter"] = np.array([state.iter], np.int32)
        name = state.learned_net.encode()
        file["learned_net"] = np.array(name, f"S{len(name) + 1}")  # C readers need the final 0
        file["current_step"] = np.array([state.current_step], np.int32)
        history = file.create_group("history")
        for index, proto in enumerate(state.history):
            history[str(index)] = blob_from_proto(proto)
        if state.random_state:
            rows = [np.frombuffer(each, np.uint8) for each in state.random_state]
            file["random_state"] = np.stack(rows)
        if state.residual:
            file["residual"] = np.stack([np.frombuffer(each, "<f4") for each in state.residual])
        if state.HasField("run"):
            run = state.run.SerializeToString(deterministic=True)
            file["run"] = np.frombuffer(run, np.uint8)
        # As attributes: the datasets stay Caffe's.
        if state.HasField("weights_checksum"):
            file.attrs["weights_checksum"] = np.uint32(state.weights_checksum)
        if state.HasField("checksum"):
            file.attrs["checksum"] = np.uint32(state.checksum)


def load_state(path: str) -> pb.SolverState:
    """Read a solver state of either format. Raises SnapshotError or ParseError if it is not one."""
    with at_hand(path, SnapshotError) as here:
        state = _load_state_hdf5(here) if is_hdf5(here) else read_binary(here, pb.SolverState())
    if not state.HasField("iter"):
        raise SnapshotError(f"{path}: not a solver state (it has no iteration)")
    if state.iter < 0 or state.current_step < 0:
        raise SnapshotError(
            f"{path}: not a solver state (iteration {state.iter}, step {state.current_step})"
        )
    return state


def _load_state_hdf5(path: str) -> pb.SolverState:
    state = pb.SolverState()
    with reading_hdf5(path) as file:
        there = file.names() or []
        for name in ("iter", "learned_net", "history"):
            if name not in there:
                raise SnapshotError(f"{path}: not a solver state (it has no '{name}')")
        state.iter = _int32(file, "iter")
        state.learned_net = file.text("learned_net")
        if "current_step" in there:
            state.current_step = _int32(file, "current_step")
        for index in range(len(file.names("history") or ())):
            if file.shape(f"history/{index}") is None:
                raise SnapshotError(f"{path}: no dataset history/{index}")
            state.history.append(array_to_blob_proto(file.read_float32(f"history/{index}")))
        if "random_state" in there:
            rows = file.read("random_state")
            if rows.ndim != 2 or rows.dtype != np.uint8:
                raise SnapshotError(f"{path}: random_state holds no rows of bytes")
            state.random_state.extend(row.tobytes() for row in rows)
        if "residual" in there:
            values = file.read_float32("residual")
            if values.ndim != 2:
                raise SnapshotError(f"{path}: residual holds no rows of numbers")
            state.residual.extend(row.astype("<f4").tobytes() for row in values)
        if "run" in there:
            _read_run(file, state.run)
        for name in ("weights_checksum", "checksum"):
            value = file.attribute(name)
            if value is not None:
                setattr(state, name, value & 0xFFFFFFFF)
    return state


def _read_run(file: Hdf5File, run: pb.TrainingRun) -> None:
    try:
        run.ParseFromString(file.read("run").tobytes())
    except DecodeError as error:
        raise SnapshotError(f"{file.path}: its 'run' is damaged ({error})") from error


def _int32(file: Hdf5File, name: str) -> int:
    value = file.whole_number(name)
    if not -(2**31) <= value < 2**31:
        raise SnapshotError(f"{file.path}: {name} {value} is out of range")
    return value


def weights_of_state(state: pb.SolverState, path: str) -> str | None:
    """The file of the weights that belong to a state read from `path`; None if it names none.

    The name is taken as it stands (relative to the working directory); a snapshot that was moved,
    or renamed with its state, is found beside it. Raises SnapshotError when there is none.
    """
    if not state.learned_net:
        return None
    beside = os.path.join(os.path.dirname(path), os.path.basename(state.learned_net))
    renamed = path.replace(".solverstate", ".caffemodel")
    candidates = list(dict.fromkeys((state.learned_net, beside, renamed)))
    for candidate in candidates:
        if candidate != path and exists(candidate):
            return candidate
    raise SnapshotError(f"{path}: its weights are missing: no {', no '.join(candidates)}")


def file_checksum(path: str) -> int:
    """The CRC-32 of a file. Raises SnapshotError where it cannot be read."""
    found = 0
    try:
        with at_hand(path, SnapshotError) as here, open(here, "rb") as file:
            while block := file.read(BLOCK):
                found = zlib.crc32(block, found)
    except OSError as error:
        raise SnapshotError(f"cannot read {path}: {error.strerror}") from error
    return found


def check_weights(state: pb.SolverState, path: str, weights: str) -> None:
    """Raise SnapshotError unless a file of weights is the one with which a state was written.

    A state without a checksum, such as Caffe's, takes any; the log says so.
    """
    if not state.HasField("weights_checksum"):
        log.info("%s: has no checksum: whether %s belongs to it cannot be told", path, weights)
    elif file_checksum(weights) != state.weights_checksum:
        raise SnapshotError(
            f"{path}: {weights} is not the file that was written with it: it is damaged, of another"
            " iteration, or was changed since (to begin anew from these weights give them alone)"
        )


def state_checksum(state: pb.SolverState, history: Iterable[NDArray[np.float32]]) -> int:
    """The CRC-32 of a state, whose history these arrays are, but for the names and checksums."""
    numbers = np.array([state.iter, state.current_step], "<i8")
    found = zlib.crc32(numbers.tobytes())
    for values in history:
        found = zlib.crc32(np.ascontiguousarray(values, "<f4").data, found)
    for each in (*state.random_state, *state.residual):
        found = zlib.crc32(each, found)
    if state.HasField("run"):
        found = zlib.crc32(state.run.SerializeToString(deterministic=True), found)
    return found


def check_state(state: pb.SolverState, path: str) -> None:
    """Raise SnapshotError unless what a state read from `path` holds gives its checksum."""
    if not state.HasField("checksum"):
        return
    if state.checksum != state_checksum(state, map(blob_from_proto, state.history)):
        raise SnapshotError(f"{path}: is damaged: what it holds does not give its checksum")
