"""Which snapshot a run can go on from, whatever lies in the folder."""

import os

import numpy as np
import pytest

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from minicaffe.solver.state_file import load_state
from tests.solver.snapshots import FORMATS, SUFFIX, make


@pytest.fixture(params=FORMATS)
def end(tmp_path, request):
    """The suffix of the files of a run with snapshots of iterations 2, 4 and 6."""
    make(tmp_path, f"snapshot: 2 snapshot_format: {request.param}").solve()
    return SUFFIX[request.param]


def newest(tmp_path):
    found = newest_complete_snapshot(f"{tmp_path}/s")
    return found and os.path.basename(found)


def test_the_highest_iteration_is_the_newest(tmp_path, end):
    make(tmp_path, "max_iter: 12 snapshot: 12").solve()
    assert newest(tmp_path) == "s_iter_12.solverstate"


@pytest.mark.parametrize("what", ["caffemodel", "solverstate"])
def test_what_is_cut_short_is_passed_over(tmp_path, end, what):
    for iteration, keep in ((6, -1), (4, 0)):
        path = tmp_path / f"s_iter_{iteration}.{what}{end}"
        path.write_bytes(path.read_bytes()[:keep])
    assert newest(tmp_path) == f"s_iter_2.solverstate{end}"


def test_a_changed_byte_is_enough_to_be_passed_over(tmp_path, end, caplog):
    path = tmp_path / f"s_iter_6.solverstate{end}"
    history = np.float32(load_state(str(path)).history[0].data[0]).tobytes()
    content = path.read_bytes()
    path.write_bytes(content.replace(history, bytes(4)))
    assert newest(tmp_path) == f"s_iter_4.solverstate{end}"
    assert "is damaged" in caplog.text


def test_a_state_without_its_weights_is_passed_over(tmp_path, end, caplog):
    (tmp_path / f"s_iter_6.caffemodel{end}").unlink()
    assert newest(tmp_path) == f"s_iter_4.solverstate{end}"
    assert "its weights are missing" in caplog.text


def test_files_that_a_kill_left_beside_are_no_snapshots(tmp_path):
    (tmp_path / ".s_iter_6.solverstate.0123456789ab").write_bytes(b"")
    (tmp_path / "s_iter_6.solverstate.old").write_bytes(b"")
    (tmp_path / "ss_iter_6.solverstate").write_bytes(b"")
    assert newest(tmp_path) is None
    assert newest_complete_snapshot(f"{tmp_path}/none/s") is None


def test_a_snapshot_of_caffe_has_no_checksums_and_is_taken_where_it_can_be_read(tmp_path):
    make(tmp_path, "snapshot: 2").solve()
    for iteration in (4, 6):
        path = tmp_path / f"s_iter_{iteration}.solverstate"
        state = pb.SolverState.FromString(path.read_bytes())
        for field in ("random_state", "weights_checksum", "checksum", "run"):
            state.ClearField(field)
        path.write_bytes(state.SerializeToString())
    cut = tmp_path / "s_iter_6.caffemodel"
    cut.write_bytes(cut.read_bytes()[:-3])
    assert newest(tmp_path) == "s_iter_4.solverstate"
    make(tmp_path).restore(f"{tmp_path}/s_iter_4.solverstate")
