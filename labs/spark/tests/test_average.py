"""Task average: steps of each rank by itself, then the mean of all."""

from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.distributed.sync import create_sync
from minicaffe.labs.plugin import close
from minicaffe.labs.ranks import run_ranks
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver

SOLVER = """
net_param {
  layer { name: "x" type: "DummyData" top: "x" top: "t"
          dummy_data_param { shape { dim: 8 dim: 3 } shape { dim: 8 dim: 2 }
                             data_filler { type: "gaussian" } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
          inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" } }
base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" random_seed: 5 snapshot_after_train: false
"""


class Course:
    """A callback that keeps weights, history and what the sync says, after each iteration."""

    def __init__(self, sync: Any) -> None:
        self.sync = sync
        self.weights: list[Any] = []
        self.history: list[Any] = []
        self.equal: list[bool] = []

    def on_iteration(self, solver: Any, done: Any) -> None:
        """An update is made, and the sync has had its turn."""
        self.weights.append(solver.net.flat_params.data.read("cpu").copy())
        self.history.append(solver.history[0].read("cpu").copy())
        self.equal.append(self.sync.equal)


def train(way: str, ranks: int, steps: int) -> list[Course]:
    """The course of each rank; each has data of its own."""

    def work(ring: Any) -> Course:
        with context.fresh("reference") as here:
            here.solver_rank, here.solver_count = ring.rank, ring.world_size
            param = parse_text(SOLVER, pb.SolverParameter())
            param.max_iter = steps
            solver, sync = create_solver(param), create_sync(way, ring)
            course = Course(sync)
            solver.callbacks += [sync, course]
            solver.solve()
            solver.close()
            return course

    return run_ranks(ranks, work)


def test_steps_by_oneself_then_the_mean() -> None:
    """tau = 3: two steps apart, and after the third all hold the mean of what each had made."""
    case = "3 ranks, sparknet:tau=3, 3 steps"
    apart = train("sparknet:tau=100", 3, 4)
    together = train("sparknet:tau=3", 3, 4)
    for rank in range(3):
        name = f"weights of rank {rank} after step 2"
        close(name, together[rank].weights[1], apart[rank].weights[1], case)
    mean = np.mean([course.weights[2] for course in apart], axis=0)
    for rank in range(3):
        close(f"weights of rank {rank} after step 3", together[rank].weights[2], mean, case)
    assert [course.equal[:3] for course in together] == [[False, False, True]] * 3, (
        f"{case}: `equal` was {together[0].equal[:3]} after steps 1 to 3, expected"
        " [False, False, True]: set _apart when a step is made, and take it back when averaged"
    )


def test_ranks_are_equal_bit_by_bit() -> None:
    """After an averaging, not only nearly."""
    courses = train("sparknet:tau=2", 3, 4)
    for step in (1, 3):
        bits = {course.weights[step].tobytes() for course in courses}
        assert len(bits) == 1, (
            f"3 ranks, sparknet:tau=2: after step {step + 1} they hold {len(bits)} different sets"
            " of weights, expected 1, bit by bit: let rank 0 divide, and broadcast what it has"
        )


def test_momentum_stays_each_ranks_own() -> None:
    """sparknet averages weights alone; dl4j the history too."""
    apart = train("sparknet:tau=100", 2, 3)
    own, shared = train("sparknet:tau=2", 2, 3), train("dl4j:k=2", 2, 3)
    mean = np.mean([course.history[1] for course in apart], axis=0)
    for rank in range(2):
        case = "2 ranks, after step 2"
        name = f"history of rank {rank}"
        close(name, own[rank].history[1], apart[rank].history[1], f"{case}, sparknet:tau=2")
        close(name, shared[rank].history[1], mean, f"{case}, dl4j:k=2, which averages it")


def test_the_end_averages() -> None:
    """Also where tau does not divide the number of steps."""
    courses = train("sparknet:tau=10", 2, 3)
    assert courses[0].weights[2].tobytes() == courses[1].weights[2].tobytes(), (
        "2 ranks, sparknet:tau=10, max_iter 3: the ranks differ at the end: average at the last"
        " iteration too"
    )


@pytest.mark.parametrize("ranks", [2, 3])
def test_every_step_is_the_allreduce(ranks: int) -> None:
    """tau = 1, with momentum: the mean of weights is what the mean of gradients gives."""
    expected = train("allreduce", ranks, 6)
    for rank, course in enumerate(train("sparknet:tau=1", ranks, 6)):
        case = f"{ranks} ranks, sparknet:tau=1 against allreduce, 6 steps"
        close(f"weights of rank {rank}", course.weights[5], expected[rank].weights[5], case)


def test_nothing_is_sent_twice() -> None:
    """Weights that are equal already are not averaged again."""

    def work(ring: Any) -> int:
        with context.fresh("reference"):
            param = parse_text(SOLVER, pb.SolverParameter())
            param.max_iter = 2
            solver, sync = create_solver(param), create_sync("sparknet:tau=2", ring)
            solver.callbacks += [sync]
            solver.solve()
            before = ring.bytes_sent
            sync.settle(solver)
            return ring.bytes_sent - before

    sent = run_ranks(2, work)
    assert sent == [0, 0], (
        f"2 ranks that have just averaged: settle sends {sent} bytes, expected none: look at _apart"
    )


def test_parameters_with_memory_of_their_own() -> None:
    """A parameter that shares memory with another net's gets the mean too."""

    def work(ring: Any) -> Any:
        with context.fresh("reference") as here:
            here.solver_rank, here.solver_count = ring.rank, ring.world_size
            param = parse_text(SOLVER, pb.SolverParameter())
            param.max_iter = 1
            solver, sync = create_solver(param), create_sync("sparknet:tau=1", ring)
            weight = solver.net.flat_params.blobs[0]
            elsewhere = Blob(weight.shape)
            elsewhere.data[...] = weight.data
            weight.share_data(elsewhere)
            solver.callbacks += [sync]
            solver.solve()
            return np.array(weight.data)

    first, second = run_ranks(2, work)
    case = "2 ranks, a weight that lies outside of the flat array: flat_params.spread() brings it"
    close("weight of rank 1", second, first, case)
