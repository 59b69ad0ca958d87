"""-sync threshold: what a rank has kept back of its gradients is in the snapshots."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.sync.threshold import ThresholdSync
from minicaffe.errors import SnapshotError
from minicaffe.solver.solver import Solver
from minicaffe.solver.state_file import load_state, save_state
from tests.distributed.sync.test_sync import weights
from tests.ranks import run_ranks
from tests.solver.snapshots import FORMATS, SUFFIX, make

LIMIT = 0.4  # of gradients that are mostly below it


def solver_on(ring: Communicator, folder: Path, options: str) -> tuple[Solver, ThresholdSync]:
    """A solver whose batches differ from rank to rank, and its callback."""
    context.current().solver_rank = ring.rank
    solver: Any = make(folder, f"base_lr: 0.05 max_iter: 8 {options}")

    def differ(layer: int) -> None:
        if layer == 0:
            for blob in solver.net.input_blobs:
                blob.data[...] += np.float32(ring.rank)

    solver.net.callbacks.before_forward.append(differ)
    sync = ThresholdSync(ring, LIMIT)
    solver.callbacks.append(sync)
    return solver, sync


@pytest.mark.parametrize("kind", FORMATS)
def test_a_resumed_run_gives_the_bits_of_one_that_was_not_stopped(
    tmp_path: Path, kind: str
) -> None:
    if kind == "HDF5":
        pytest.importorskip("h5py")
    options = f"snapshot: 3 snapshot_format: {kind}"

    def whole(ring: Communicator) -> tuple[Any, Any]:
        solver, sync = solver_on(ring, tmp_path, options)
        solver.solve()
        return weights(solver).copy(), sync.residual

    def resumed(ring: Communicator) -> tuple[Any, Any]:
        solver, sync = solver_on(ring, tmp_path, "snapshot_after_train: false")
        solver.solve(f"{tmp_path}/s_iter_3.solverstate{SUFFIX[kind]}")
        return weights(solver).copy(), sync.residual

    first, second = run_ranks(2, whole), run_ranks(2, resumed)
    for (one, kept), (other, kept_too) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(kept, kept_too)
    assert not np.array_equal(first[0][1], first[1][1])  # each rank has its own


def test_another_number_of_ranks_shares_what_was_kept_back(tmp_path: Path) -> None:
    def before(ring: Communicator) -> Any:
        solver, sync = solver_on(ring, tmp_path, "")
        solver.step(4)
        solver.snapshot()
        return sync.residual

    def after(ring: Communicator) -> Any:
        solver, sync = solver_on(ring, tmp_path, "")
        solver.restore(f"{tmp_path}/s_iter_4.solverstate")
        return sync.residual.copy()

    kept = np.array(run_ranks(2, before))
    assert abs(kept).max() > 0
    for residual in run_ranks(3, after):
        np.testing.assert_allclose(residual, kept.mean(axis=0), rtol=1e-6)


def test_residuals_of_another_size_are_refused_and_changed_ones_too(tmp_path: Path) -> None:
    def take(ring: Communicator) -> None:
        solver, _ = solver_on(ring, tmp_path, "")
        solver.step(2)
        solver.snapshot()

    run_ranks(2, take)
    path = f"{tmp_path}/s_iter_2.solverstate"
    state = load_state(path)
    assert len(state.residual) == 2
    state.residual[1] = state.residual[0]
    save_state(state, path)
    with pytest.raises(SnapshotError, match="what it holds does not give its checksum"):
        make(tmp_path).restore(path)
    state.residual[1] = b"\0" * 4
    save_state(state, path)
    with pytest.raises(SnapshotError, match="its residuals are not those of 20 parameters"):
        make(tmp_path).restore(path)
