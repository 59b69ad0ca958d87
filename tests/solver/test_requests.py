"""Requests to a solver, and solvers of other ranks than the root."""

import logging

import numpy as np
import pytest

from minicaffe import context
from minicaffe.errors import SolverError
from minicaffe.net.scores import Scores
from tests.solver.small_solver import make, recorded

# --- requests --------------------------------------------------------------------------------


def test_a_stop_takes_effect_at_the_end_of_the_iteration():
    solver = make("max_iter: 10 snapshot_after_train: false")
    solver.add_callback(lambda: solver.iter == 2 and solver.request("stop"), lambda: None)
    solver.solve()
    assert solver.iter == 3
    solver.solve()
    assert solver.iter == 10


def test_a_stop_interrupts_a_test():
    solver = make("test_iter: 100 test_interval: 1")
    forwards = []
    solver.test_nets[0].callbacks.before_forward.append(forwards.append)
    solver.request("stop")
    solver.step(5)
    assert forwards == []
    assert solver.iter == 1


def test_a_snapshot_can_be_asked_for(tmp_path):
    solver = make(f"snapshot_prefix: '{tmp_path}/s'")
    solver.request("snapshot")
    solver.step(3)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "s_iter_1.caffemodel", "s_iter_1.solverstate"
    ]  # fmt: skip


def test_other_requests_are_refused():
    known = "diverged, snapshot, stop"
    with pytest.raises(SolverError, match=f"no request 'pause' .there are: {known}"):
        make().request("pause")


def test_a_callback_may_decide_which_requests_hold():
    class Agreement:
        def __init__(self):
            self.seen = []

        def on_requests(self, solver, requests):
            self.seen.append(requests)
            return {"stop"} if len(self.seen) == 3 else set()

    solver = make()
    agreement = Agreement()
    solver.callbacks.append(agreement)
    solver.request("stop")
    solver.step(5)
    assert solver.iter == 3
    assert agreement.seen == [{"stop"}, set(), set()]


# --- ranks -----------------------------------------------------------------------------------


@pytest.fixture
def rank_1():
    context.current().solver_rank = 1
    context.current().solver_count = 2


def test_other_ranks_neither_test_nor_write_nor_speak(rank_1, tmp_path, caplog):
    caplog.set_level(logging.INFO, "minicaffe.solver")
    solver = make(
        f"test_iter: 1 test_interval: 1 snapshot: 1 snapshot_prefix: '{tmp_path}/s' max_iter: 2 "
        "display: 1 clip_gradients: 0.01"
    )
    recorder = recorded(solver)
    solver.solve()
    assert solver.iter == 2
    assert solver.test_nets == []
    assert not any(isinstance(call, tuple) for call in recorder.calls)
    assert not list(tmp_path.iterdir())
    assert [record for record in caplog.records if record.name == "minicaffe.solver"] == []


class TestTogether:
    """A callback through which all ranks take part in a test."""

    __test__ = False

    def run_test(self, solver, index):
        solver.build_test_nets()
        return Scores(["loss"], np.array([7], np.float32), 7)


@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_test_together_where_a_callback_does(rank):
    context.current().solver_rank = rank
    solver = make("test_iter: 1 test_interval: 2 max_iter: 2 snapshot_after_train: false")
    recorder = recorded(solver)
    solver.callbacks.append(TestTogether())
    solver.solve()
    assert [call for call in recorder.calls if isinstance(call, tuple)] == [(0, {"loss": 7})] * 2
    assert len(solver.test_nets) == 1


def test_test_nets_built_later_leave_the_random_stream_alone(rank_1):
    solver = make("test_iter: 1 test_interval: 1")
    state = context.current().rng.get_state()
    solver.build_test_nets()
    assert context.current().rng.get_state() == state
