"""The model's way home: rank 0 puts it where -model says, whole or not at all.

    an hdfs: or s3a: URL              the same for every rank: it is written there
    a folder that rank 0 sees too     it has the driver's beacon in it: the same
    a folder of the driver's alone    the driver takes the bytes in and writes them (desk.py)

Before the first iteration it is known whether there is room.
"""

from __future__ import annotations

import os

import numpy as np

from minicaffe.errors import ClusterError
from minicaffe.machine.file_system import is_far
from minicaffe.machine.whole_file import check_room
from minicaffe.net.weights import save_weights, save_weights_hdf5, stored_bytes, weights_bytes
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.solver import Solver

from ...communicator import Communicator
from ...driver_call import Call
from .desk import PIECE, FileLine


class ModelHome:
    """Rank 0's way to `target`, "" for none; `beacon` is a file that the driver has made there."""

    def __init__(self, target: str, beacon: str, call: Call) -> None:
        self.target = target
        self.near = is_far(target) or not beacon or os.path.exists(beacon)
        self._call = call

    def check_room(self, solver: Solver) -> None:
        """Raise an Error unless the model and a snapshot find room."""
        size = stored_bytes(solver.net)
        param = solver.param
        if param.snapshot > 0 or param.snapshot_after_train:
            history = 4 * solver.net.flat_params.count * len(solver.history)
            needed = size * (2 if self.target else 1) + history
            check_room(param.snapshot_prefix, needed, "a snapshot and -model")
        if not self.target:
            return
        if self.near:
            check_room(self.target, size, "-model")
        else:
            with FileLine(self._call, 0) as line:
                line.ask("reserve", size=size)

    def bring(self, solver: Solver) -> None:
        """Write the model."""
        if not self.target:
            return
        hdf5 = solver.param.snapshot_format == pb.SolverParameter.HDF5
        if self.near:
            (save_weights_hdf5 if hdf5 else save_weights)(solver.net, self.target)
            return
        content = memoryview(weights_bytes(solver.net, self.target, hdf5))
        parts = (bytes(content[at : at + PIECE]) for at in range(0, len(content), PIECE))
        with FileLine(self._call, 0) as line:
            line.ask("deliver", parts, size=len(content))


def check_alike(communicator: Communicator, checksum: int) -> None:
    """Raise ClusterError unless all ranks have come to the same weights; all ranks call it."""
    found = np.zeros(communicator.world_size, np.int64)
    found[communicator.rank] = checksum
    communicator.allgather(found)
    if len(set(found.tolist())) != 1:
        raise ClusterError(f"the ranks did not end alike, no model is written: {found.tolist()}")
