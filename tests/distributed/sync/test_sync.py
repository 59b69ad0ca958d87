"""AllreduceSync: solvers on several ranks hold the same bits after every update."""

import threading
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.blob import Blob, SyncedArray
from minicaffe.distributed.communicator import Communicator, LocalCommunicator
from minicaffe.distributed.sync import allreduce
from minicaffe.distributed.sync.allreduce import AllreduceSync, Bucket, plan_buckets
from minicaffe.errors import CommunicationError, NetError
from minicaffe.net.parameters import FlatParams
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver
from tests.ranks import URLS, outcomes, run_ranks, scheme_of

SHAPES = [[], [(20, 5, 5), (20,)], [], [(300, 20), (300,)], [(10, 300), (10,)], []]
ITERATIONS = 4


class FakeSolver:
    """The attributes that a callback may use, around gradients that are plain random numbers."""

    def __init__(self, rank: int, shapes: list[list[tuple[int, ...]]] = SHAPES) -> None:
        layers = [SimpleNamespace(blobs=[Blob(shape) for shape in layer]) for layer in shapes]
        blobs = [blob for layer in layers for blob in layer.blobs]
        ones = [1.0] * len(blobs)
        params = FlatParams(blobs, [str(index) for index in range(len(blobs))], ones, ones)
        self.net: Any = SimpleNamespace(device="cpu", nodes=layers, flat_params=params)
        self.history = [SyncedArray((params.count,))]
        self.param: Any = SimpleNamespace(max_iter=0)
        self.iter = 0
        self.rank = rank
        values = np.random.default_rng(100 + rank)
        for array in (params.data, *self.history):
            array[...] = values.standard_normal(params.count)

    def gradient(self, iteration: int, layer: int, count: int) -> Any:
        generator = np.random.default_rng([self.rank, iteration, layer])
        return generator.standard_normal(count).astype(np.float32)

    def backward(self, layer: int) -> None:
        for blob in self.net.nodes[layer].blobs:
            gradient = self.gradient(self.iter, layer, blob.count())
            blob.diff.update("cpu")[...] = gradient.reshape(blob.shape)

    def step(self, sync: AllreduceSync) -> bytes:
        """One iteration; the weights after it."""
        sync.on_start(self)  # type: ignore[arg-type]
        for layer in reversed(range(len(self.net.nodes))):
            self.backward(layer)
            sync.after_backward(self, layer)  # type: ignore[arg-type]
        sync.on_gradients_ready(self)  # type: ignore[arg-type]
        data, diff = self.net.flat_params.data.update("cpu"), self.net.flat_params.diff.read("cpu")
        velocity = self.history[0].update("cpu")
        velocity *= np.float32(0.9)
        velocity += diff
        data -= np.float32(0.1) * velocity
        self.iter += 1
        return bytes(data.tobytes())


def train(ring: Communicator, bucket: int | str = 4000) -> list[bytes]:
    """The weights after each iteration."""
    sync = AllreduceSync(ring, bucket)
    solver = FakeSolver(ring.rank)
    try:
        return [solver.step(sync) for _ in range(ITERATIONS)]
    finally:
        sync.close()


def by_hand(ranks: int) -> Any:
    """Rank 0's weights, trained on the mean of all ranks' gradients, in double precision."""
    solvers = [FakeSolver(rank) for rank in range(ranks)]
    data = solvers[0].net.flat_params.data.read("cpu").astype(np.float64)
    velocity = solvers[0].history[0].read("cpu").astype(np.float64)
    for _ in range(ITERATIONS):
        for solver in solvers:
            for layer in range(len(SHAPES)):
                solver.backward(layer)
            solver.iter += 1
        diffs = [solver.net.flat_params.diff.read("cpu") for solver in solvers]
        velocity = 0.9 * velocity + np.mean(diffs, axis=0, dtype=np.float64)
        data -= 0.1 * velocity
    return data


@pytest.mark.parametrize("url", URLS, ids=scheme_of)
@pytest.mark.parametrize("bucket", ["auto", "one", 1, 4000, 1 << 20])
def test_weights_are_bit_equal_after_every_update(url: str, bucket: int | str) -> None:
    by_rank = run_ranks(4, lambda ring: train(ring, bucket), url)
    for of_iteration in zip(*by_rank, strict=True):
        assert len(set(of_iteration)) == 1
    np.testing.assert_allclose(np.frombuffer(by_rank[0][-1], np.float32), by_hand(4), atol=1e-5)


def test_every_run_gives_the_same_bits() -> None:
    first, second = (run_ranks(3, train, url)[0] for url in URLS[:2])
    assert first == second


def test_buckets_give_the_same_bits_whenever_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """During backward, each by itself, or all in one walk at the end."""
    monkeypatch.setattr(allreduce, "BUCKET_BYTES", 4000)
    for limit in (1 << 20, 8000, 0):  # all of the buckets are small, some, none
        runs = [
            run_ranks(3, partial(train, bucket=bucket), doubling_bytes=limit)[0]
            for bucket in (4000, "one", "auto")
        ]
        assert runs[0] == runs[1] == runs[2]
    other = run_ranks(3, partial(train, bucket=1 << 20))[0]
    assert other != runs[0]  # boundaries do matter on a ring of more than two ranks


@pytest.mark.parametrize(
    ("cpus", "threads", "hosts", "expected"),
    [
        (2, 1, 1, False),  # two ranks, two cores
        (3, 1, 1, False),
        (4, 1, 1, True),  # a core for each rank's communication
        (4, 2, 1, False),
        (2, 1, 2, True),  # there is a network to hide
    ],
)
def test_buckets_go_early_where_something_can_be_hidden(
    cpus: int, threads: int, hosts: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allreduce, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(allreduce, "num_threads", lambda: threads)
    names = iter(["a", "b"] if hosts == 2 else ["a", "a"])
    monkeypatch.setattr(allreduce.socket, "gethostname", lambda: next(names))

    assert run_ranks(2, allreduce.has_room) == [expected] * 2


def decided(
    ring: Communicator, seconds: dict[int, dict[bool, float]], iterations: int = 30
) -> tuple[list[bool], bytes]:
    """Which iterations sent buckets early, where they take a rank so long; the last weights."""
    sync, solver = AllreduceSync(ring), FakeSolver(ring.rank)
    early: list[bool] = []
    try:
        for _ in range(iterations):
            weights = solver.step(sync)
            early.append(sync.early)
            done = SimpleNamespace(seconds=seconds[ring.rank][sync.early])
            sync.on_iteration(solver, done)  # type: ignore[arg-type]
    finally:
        sync.close()
    return early, weights


@pytest.mark.parametrize(("late", "early", "expected"), [(2.0, 1.0, True), (1.0, 2.0, False)])
def test_the_faster_way_stays_with_the_same_bits(
    late: float, early: float, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allreduce, "BUCKET_BYTES", 4000)
    monkeypatch.setattr(allreduce, "has_room", lambda communicator: True)
    # Rank 1's clock says the opposite, but less so: all ranks decide alike nevertheless.
    seconds = {0: {False: 10 * late, True: 10 * early}, 1: {False: early, True: late}}
    runs = run_ranks(2, lambda ring: decided(ring, seconds))
    assert [ways for ways, _ in runs] == [[False, True] * 12 + [expected] * 6] * 2

    monkeypatch.setattr(allreduce, "has_room", lambda communicator: False)
    at_the_end = run_ranks(2, lambda ring: decided(ring, seconds))
    assert at_the_end == [([False] * 30, runs[0][1])] * 2


def test_the_first_iteration_starts_from_rank_0() -> None:
    def work(ring: Communicator) -> tuple[bytes, bytes]:
        solver = FakeSolver(ring.rank)
        AllreduceSync(ring).on_start(solver)  # type: ignore[arg-type]
        return solver.net.flat_params.data[...].tobytes(), solver.history[0][...].tobytes()

    first = FakeSolver(0)
    expected = first.net.flat_params.data[...].tobytes(), first.history[0][...].tobytes()
    assert run_ranks(3, work) == [expected] * 3


def test_one_rank_alone_keeps_its_gradients() -> None:
    solver = FakeSolver(0)
    sync = AllreduceSync(LocalCommunicator(), 1)
    solver.step(sync)
    expected = FakeSolver(0)
    for layer in range(len(SHAPES)):
        expected.backward(layer)
    np.testing.assert_array_equal(
        solver.net.flat_params.diff[...], expected.net.flat_params.diff[...]
    )


# --- buckets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket_bytes", "expected"),
    [
        (4 * 3010, [Bucket(4, 6820, 9830), Bucket(3, 520, 6820), Bucket(1, 0, 520)]),
        (4 * 3011, [Bucket(3, 520, 9830), Bucket(1, 0, 520)]),
        (4 * 9830, [Bucket(1, 0, 9830)]),
    ],
)
def test_buckets_run_from_the_end_of_the_flat_diff_to_its_start(
    bucket_bytes: int, expected: list[Bucket]
) -> None:
    assert plan_buckets(FakeSolver(0).net, bucket_bytes) == expected


def test_a_shared_parameter_waits_for_the_first_layer_that_uses_it() -> None:
    solver = FakeSolver(0, [[(4, 4)], [(3, 3)], [(5, 5)]])
    sharer = Blob((5, 5))
    sharer.share_diff(solver.net.nodes[2].blobs[0])
    solver.net.nodes[1].blobs.append(sharer)
    assert plan_buckets(solver.net, 1) == [Bucket(1, 16, 50), Bucket(0, 0, 16)]


def test_a_net_without_parameters_has_no_buckets() -> None:
    assert plan_buckets(FakeSolver(0, [[], []]).net, 1 << 20) == []


def test_a_device_with_memory_of_its_own_has_one_bucket() -> None:
    net = FakeSolver(0).net
    net.device = "apart"
    assert plan_buckets(net, 1) == [Bucket(1, 0, 9830)]


def test_a_bucket_is_reduced_while_backward_goes_on() -> None:
    """The backward pass of the first layer waits for the last layer's gradients to be reduced."""

    def work(ring: Communicator) -> bool:
        reduced = threading.Event()
        allreduce = ring.allreduce

        def reduce_and_tell(array: Any, *how: Any) -> None:
            allreduce(array, *how)
            reduced.set()

        ring.allreduce = reduce_and_tell  # type: ignore[method-assign]
        sync = AllreduceSync(ring, 4000)
        solver = FakeSolver(ring.rank)
        backward = solver.backward
        early: list[bool] = []

        def wait(layer: int) -> None:
            if layer == 0:
                early.append(reduced.wait(10))
            backward(layer)

        solver.backward = wait  # type: ignore[method-assign]
        solver.step(sync)
        sync.close()
        assert sync.seconds > 0
        assert sync.waited > 0
        return early == [True]

    assert all(run_ranks(2, work, URLS[1]))


# --- parameters that have other memory than the flat buffer ------------------------------------


def test_ranks_begin_equal_with_weights_in_the_memory_of_another_net() -> None:
    def work(ring: Communicator) -> list[Any]:
        solver: Any = FakeSolver(ring.rank)
        elsewhere = Blob((20, 5, 5))
        elsewhere.data[...] = 10 + ring.rank
        solver.net.nodes[1].blobs[0].share_data(elsewhere)
        AllreduceSync(ring).on_start(solver)
        return [np.unique(elsewhere.data), np.array(solver.net.flat_params.data)]

    for elsewhere, flat in run_ranks(2, work):
        assert elsewhere.tolist() == [10]
        assert flat[:500].tolist() == [10] * 500
        np.testing.assert_array_equal(flat[500:], FakeSolver(0).net.flat_params.data[500:])


def test_gradients_in_other_memory_cannot_be_added_up() -> None:
    solver: Any = FakeSolver(0)
    solver.net.nodes[1].blobs[1].share_diff(Blob((20,)))
    with pytest.raises(NetError, match="the gradient of parameter 1 has the memory of another"):
        AllreduceSync(LocalCommunicator()).on_start(solver)


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", ["one", 4000])
def test_ranks_at_different_iterations_do_not_mix(bucket: int | str) -> None:
    def work(ring: Communicator) -> None:
        sync = AllreduceSync(ring, bucket)
        solver = FakeSolver(ring.rank)
        solver.step(sync)
        solver.iter += ring.rank
        try:
            solver.step(sync)
        finally:
            sync.close()

    for error in outcomes(2, work):
        assert isinstance(error, CommunicationError), error
        assert "iteration" in str(error)


def test_an_error_in_a_bucket_reaches_the_solver() -> None:
    def work(ring: Communicator) -> None:
        sync = AllreduceSync(ring, 4000)
        solver = FakeSolver(ring.rank)
        solver.step(sync)
        if ring.rank == 1:
            ring.close()
        try:
            solver.step(sync)
        finally:
            sync.close()

    assert all(isinstance(error, CommunicationError) for error in outcomes(3, work, URLS[1]))


# --- what else ranks agree on ------------------------------------------------------------------


def test_a_request_of_one_rank_is_one_of_all() -> None:
    wishes = [set[str](), {"snapshot"}, {"stop", "snapshot"}]

    def work(ring: Communicator) -> list[set[str]]:
        sync = AllreduceSync(ring)
        solver: Any = FakeSolver(ring.rank)
        return [
            sync.on_requests(solver, set()),
            sync.on_requests(solver, wishes[ring.rank] - {"stop"}),
            sync.on_requests(solver, wishes[ring.rank]),
        ]

    assert run_ranks(3, work) == [[set(), {"snapshot"}, {"stop", "snapshot"}]] * 3


def test_random_states_come_by_rank() -> None:
    def work(ring: Communicator) -> list[bytes]:
        context.set_random_seed(ring.rank)
        solver: Any = FakeSolver(ring.rank)
        return AllreduceSync(ring).gather_random_states(solver)

    def state(seed: int) -> bytes:
        context.set_random_seed(seed)
        return context.current().rng.get_state()

    assert run_ranks(3, work) == [[state(seed) for seed in range(3)]] * 3


# --- a solver of flesh and blood ---------------------------------------------------------------

SOLVER = """
    base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 random_seed: 7
    max_iter: 5 snapshot_after_train: false
    net_param {
      layer { name: "x" type: "Input" top: "x" top: "t"
              input_param { shape { dim: BATCH dim: 6 } shape { dim: BATCH dim: 3 } } }
      layer { name: "hidden" type: "InnerProduct" bottom: "x" top: "h"
              inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
      layer { name: "out" type: "InnerProduct" bottom: "h" top: "y"
              inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
      layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
    }
"""


def real_solver(batch: int, part: slice, device: str = "reference") -> Solver:
    """A solver on some of eight samples."""
    text = SOLVER.replace("BATCH", str(batch))
    solver = create_solver(parse_text(text, pb.SolverParameter()), device=device)
    values = np.random.default_rng(3)
    for name, width in (("x", 6), ("t", 3)):
        solver.net.blob_dict[name].data[...] = values.standard_normal((8, width))[part]
    return solver


def weights(solver: Solver) -> Any:
    return solver.net.flat_params.data.read("cpu")


def test_ranks_with_parts_of_a_batch_learn_what_one_learns_from_all_of_it(device: str) -> None:
    def work(ring: Communicator) -> tuple[bytes, Any]:
        context.current().solver_rank = ring.rank
        solver = real_solver(4, slice(4 * ring.rank, 4 * ring.rank + 4), device)
        sync = AllreduceSync(ring, 64)
        solver.callbacks.append(sync)
        solver.solve()
        sync.close()
        return weights(solver).tobytes(), weights(solver)

    (first, found), (second, _) = run_ranks(2, work, URLS[1])
    assert first == second
    alone = real_solver(8, slice(0, 8), device)
    alone.solve()
    np.testing.assert_allclose(found, weights(alone), rtol=1e-4, atol=1e-6)
