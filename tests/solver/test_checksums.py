"""A snapshot's two files belong together, bit for bit, or one sentence says that they do not."""

import logging
import shutil

import numpy as np
import pytest

from minicaffe.errors import Error
from minicaffe.solver.state_file import load_state, save_state, save_state_hdf5
from tests.solver.snapshots import FORMATS, SUFFIX, make, weights


@pytest.fixture(params=FORMATS)
def snapshot(request, tmp_path):
    """A prefix with snapshots of iterations 2 and 4, and the format."""
    if request.param == "HDF5":
        pytest.importorskip("h5py")
    options = f"snapshot: 2 max_iter: 4 momentum: 0.5 snapshot_format: {request.param}"
    make(tmp_path, options).solve()
    return tmp_path, SUFFIX[request.param]


def resume(folder, suffix):
    """What restoring iteration 4 says; "" where it does, and the solver afterwards."""
    solver = make(folder, "random_seed: 5 momentum: 0.5")
    before = weights(solver)
    try:
        solver.restore(f"{folder}/s_iter_4.solverstate{suffix}")
    except Error as error:
        assert solver.iter == 0
        assert np.array_equal(weights(solver), before)
        return str(error), solver
    return "", solver


def test_a_snapshot_as_it_was_written_is_restored(snapshot):
    said, solver = resume(*snapshot)
    assert said == ""
    assert solver.iter == 4


def test_the_weights_of_another_iteration_are_refused(snapshot):
    folder, suffix = snapshot
    other = f"{folder}/s_iter_2.caffemodel{suffix}"
    shutil.copy(other, f"{folder}/s_iter_4.caffemodel{suffix}")
    said, _ = resume(folder, suffix)
    assert f"s_iter_4.caffemodel{suffix} is not the file that was written with it" in said


def test_a_flipped_bit_in_the_weights_is_found(snapshot):
    folder, suffix = snapshot
    path = folder / f"s_iter_4.caffemodel{suffix}"
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(0, len(content), 20):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        assert resume(folder, suffix)[0] != ""


def test_a_flipped_bit_in_the_history_is_found(snapshot):
    folder, suffix = snapshot
    path = f"{folder}/s_iter_4.solverstate{suffix}"
    state = load_state(path)
    values = np.array(state.history[1].data, np.float32)
    values.view(np.int32)[2] ^= 1
    state.history[1].data[:] = values.tolist()
    (save_state_hdf5 if suffix else save_state)(state, path)
    assert resume(folder, suffix)[0] == (
        f"{path}: is damaged: what it holds does not give its checksum"
    )


@pytest.mark.parametrize("field", ["iter", "current_step"])
def test_a_changed_number_of_the_state_is_found(snapshot, field):
    folder, suffix = snapshot
    path = f"{folder}/s_iter_4.solverstate{suffix}"
    state = load_state(path)
    setattr(state, field, getattr(state, field) ^ 1)
    (save_state_hdf5 if suffix else save_state)(state, path)
    assert "is damaged" in resume(folder, suffix)[0]


def test_a_state_without_checksums_loads_as_before_and_the_log_says_so(snapshot, caplog):
    caplog.set_level(logging.INFO, "minicaffe")
    folder, suffix = snapshot
    path = f"{folder}/s_iter_4.solverstate{suffix}"
    state = load_state(path)
    assert state.HasField("checksum")
    assert state.HasField("weights_checksum")
    state.ClearField("checksum")
    state.ClearField("weights_checksum")
    (save_state_hdf5 if suffix else save_state)(state, path)
    other = f"{folder}/s_iter_2.caffemodel{suffix}"
    shutil.copy(other, f"{folder}/s_iter_4.caffemodel{suffix}")
    said, solver = resume(folder, suffix)
    assert (said, solver.iter) == ("", 4)
    assert f"{path}: has no checksum: whether " in caplog.text
