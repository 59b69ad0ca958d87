"""A snapshot that finds no room: one clear line, and what was there before stays whole."""

import os

import numpy as np
import pytest

from minicaffe.errors import SnapshotError
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from tests.small_disk import fill, small_disk
from tests.solver.snapshots import FORMATS, NET, SUFFIX, files, make, weights

WIDE = NET.replace("num_output: 3", "num_output: 5000")  # weights and history of 120 KB each
PART = 120  # kilobytes


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "room", [PART // 2, PART + PART // 2], ids=["none for weights", "none for the state"]
)
def test_the_snapshot_before_stays_and_nothing_half_written(tmp_path, kind, room):
    if kind == "HDF5":
        pytest.importorskip("h5py")
    with small_disk(tmp_path / "disk", 2 * PART + room + 20) as disk:
        solver = make(disk, f"base_lr: 0.001 snapshot_format: {kind} snapshot: 1", WIDE)
        solver.step(1)
        before = weights(solver)
        whole = files(disk)
        with pytest.raises(SnapshotError, match=r"s_iter_2\.\S+: cannot be written: .*"
                           "No space left on device"):  # fmt: skip
            solver.step(1)
        assert files(disk) == whole
        again = make(disk, "base_lr: 0.001", WIDE)
        newest = newest_complete_snapshot(f"{disk}/s")
        assert newest == f"{disk}/s_iter_1.solverstate{SUFFIX[kind]}"
        again.restore(newest)
        assert np.array_equal(weights(again), before)


def test_weights_that_were_there_before_stay_when_their_state_finds_no_room(tmp_path):
    """They may belong to a state of the same run, made before."""
    with small_disk(tmp_path / "disk", 6 * PART) as disk:
        solver = make(disk, "base_lr: 0.001 type: 'Adam' momentum: 0.9", WIDE)  # two histories
        solver.snapshot()
        os.truncate(disk / "s_iter_0.solverstate", 100)
        fill(disk)
        os.truncate(disk / "filler", os.path.getsize(disk / "filler") - (PART + 20) * 1024)
        with pytest.raises(SnapshotError, match=r"s_iter_0\.solverstate: cannot be written"):
            solver.snapshot()
        assert files(disk) == ["filler", "s_iter_0.caffemodel", "s_iter_0.solverstate"]
