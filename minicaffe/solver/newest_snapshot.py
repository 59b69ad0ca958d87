"""Which snapshot a run can go on from: the newest that is whole."""

from __future__ import annotations

import logging
import os
import re

from ..errors import Error, SnapshotError
from ..machine.file_system import at_hand, files_in
from ..net.weights import is_hdf5, reading_hdf5
from ..proto.files import read_net_binary
from .state_file import check_state, check_weights, load_state, weights_of_state

log = logging.getLogger("minicaffe.solver")


def newest_complete_snapshot(prefix: str) -> str | None:
    """The .solverstate[.h5] of the highest iteration that is whole, with its weights; or None.

    `prefix` is the solver's snapshot_prefix. What was cut short, damaged, or has lost its weights
    is passed over, and the log says why. A state without checksums, such as Caffe's, is whole when
    it and its weights can be read.
    """
    folder, name = os.path.split(prefix)
    pattern = re.compile(rf"{re.escape(name)}_iter_(\d+)\.solverstate(\.h5)?")
    found = [match for each in files_in(folder) if (match := pattern.fullmatch(each.name))]
    for match in sorted(found, key=lambda match: int(match[1]), reverse=True):
        path = os.path.join(folder, match[0])
        try:
            check_complete(path)
        except Error as error:
            log.warning("this snapshot is passed over: %s", error)
        else:
            return path
    return None


def check_complete(path: str) -> None:
    """Raise SnapshotError or ParseError unless a state and its weights are whole."""
    state = load_state(path)
    weights = weights_of_state(state, path)
    check_state(state, path)
    if weights is None:
        raise SnapshotError(f"{path}: names no weights")
    check_weights(state, path, weights)
    if not state.HasField("weights_checksum"):
        _check_readable(weights)


def _check_readable(weights: str) -> None:
    with at_hand(weights, SnapshotError) as here:
        if not is_hdf5(here):
            read_net_binary(here)
            return
        with reading_hdf5(here) as file:
            file.names("data")
