"""The ways in which ranks stay together: what each makes of weights, and the bytes it sends."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.sync import Sync, create_sync, known_syncs, read_sync, threshold
from minicaffe.errors import ClusterError, CommunicationError
from minicaffe.solver.callbacks import Iteration
from tests.distributed.sync.test_sync import SHAPES, FakeSolver
from tests.ranks import URLS, run_ranks

COUNT = 9830  # weights of a FakeSolver
S = 4 * COUNT
ITERATIONS = 12
DONE = Iteration(0, 0.0, 0.0, 0.1, 1, 1.0)


def iterate(solver: Any, sync: Sync, scale: float = 1.0) -> None:
    """One iteration, as a solver makes it."""
    solver.param.max_iter = ITERATIONS
    sync.on_start(solver)
    for layer in reversed(range(len(SHAPES))):
        solver.backward(layer)
    diff = solver.net.flat_params.diff.update("cpu")
    diff *= np.float32(scale)
    sync.on_gradients_ready(solver)
    update(solver)
    sync.on_iteration(solver, DONE)


def update(solver: Any) -> None:
    """SGD with momentum."""
    data, diff = solver.net.flat_params.data.update("cpu"), solver.net.flat_params.diff.read("cpu")
    velocity = solver.history[0].update("cpu")
    velocity *= np.float32(0.9)
    velocity += diff
    data -= np.float32(0.1) * velocity
    solver.iter += 1


def state(solver: Any) -> tuple[Any, Any]:
    return (
        solver.net.flat_params.data.read("cpu").copy(),
        solver.history[0].read("cpu").copy(),
    )


def train(ring: Communicator, way: str, scale: float = 1.0) -> list[tuple[bool, Any, Any]]:
    """After each iteration: whether the ranks say that they are equal, weights, history."""
    solver: Any = FakeSolver(ring.rank)
    sync = create_sync(way, ring)
    found = []
    for _ in range(ITERATIONS):
        iterate(solver, sync, scale)
        found.append((sync.equal, *state(solver)))
    sync.close()
    return found


def alone(rank: int, steps: int) -> tuple[Any, Any]:
    """A rank that begins as rank 0 and takes so many steps by itself."""
    solver: Any = FakeSolver(rank)
    first = FakeSolver(0)
    solver.net.flat_params.data[...] = first.net.flat_params.data.read("cpu")
    solver.history[0][...] = first.history[0].read("cpu")
    for _ in range(steps):
        for layer in range(len(SHAPES)):
            solver.backward(layer)
        update(solver)
    return state(solver)


# --- the door ------------------------------------------------------------------------------------


def test_the_ways_that_there_are() -> None:
    assert {"allreduce", "dl4j", "sparknet", "threshold"} <= set(known_syncs())


@pytest.mark.parametrize("way", ["allreduce", "dl4j", "sparknet", "threshold"])
def test_a_way_says_what_it_costs_and_what_may_be_chosen(way: str) -> None:
    kind, values = read_sync(way)
    module = __import__(kind.__module__, fromlist=["x"])
    assert "bytes" in module.__doc__
    assert "message" in module.__doc__
    assert values == {name: each.default for name, each in kind.parameters.items()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sparknett", "there is no such way; did you mean 'sparknet'? (known: allreduce, "),
        ("", "there is no such way (known: allreduce, "),
        ("sparknet:tua=3", "sparknet has no parameter 'tua'; did you mean 'tau'? (known: tau)"),
        ("sparknet:tau=0", "tau=0: a whole number above 0 is expected"),
        ("dl4j:k=many", "k=many: a whole number above 0 is expected"),
        ("threshold:threshold=-1", "threshold=-1: a number above 0 is expected"),
        ("threshold:threshold=nan", "a number above 0 is expected"),
        ("allreduce:bucket=two", "bucket=two: auto, one, or a number of bytes is expected"),
    ],
)
def test_what_is_not_known_is_refused(text: str, said: str) -> None:
    with pytest.raises(ClusterError) as caught:
        read_sync(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("-sync ")


def test_parameters_are_read() -> None:
    assert read_sync("SparkNet: tau = 20")[1] == {"tau": 20}
    assert read_sync("allreduce:bucket=4096")[1] == {"bucket": 4096, "compress": "none"}


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", known_syncs())
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_that_say_they_are_equal_are_so_bit_for_bit(way: str, ranks: int) -> None:
    by_rank = run_ranks(ranks, partial(train, way=way))
    for of_iteration in zip(*by_rank, strict=True):
        (equal,) = {said for said, _, _ in of_iteration}
        weights = {data.tobytes() for _, data, _ in of_iteration}
        assert len(weights) == (1 if equal else ranks)
    assert by_rank[0][-1][0], "at the end all are equal"


@pytest.mark.parametrize("way", known_syncs())
def test_every_run_gives_the_same_bits(way: str) -> None:
    first, second = (run_ranks(4, partial(train, way=way), url)[1] for url in URLS[:2])
    assert [each[1].tobytes() for each in first] == [each[1].tobytes() for each in second]


@pytest.mark.parametrize("way", known_syncs())
def test_a_rank_alone_trains_as_without(way: str) -> None:
    """But for a threshold, which keeps something back from itself too."""
    (found,) = run_ranks(1, partial(train, way=way))
    same = np.array_equal(found[-1][1], alone(0, ITERATIONS)[0])
    assert same == (way != "threshold")


@pytest.mark.parametrize(("way", "every"), [("sparknet:tau=4", 4), ("dl4j:k=4", 4)])
@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_weights_are_averaged_after_so_many_steps(way: str, every: int, ranks: int) -> None:
    by_rank = run_ranks(ranks, partial(train, way=way))
    assert [equal for equal, _, _ in by_rank[0]] == [False, False, False, True] * 3
    steps = [alone(rank, every) for rank in range(ranks)]
    weights, histories = (np.mean(arrays, axis=0) for arrays in zip(*steps, strict=True))
    for rank, found in enumerate(by_rank):
        np.testing.assert_allclose(found[every - 1][1], weights, atol=1e-5)
        own = histories if way.startswith("dl4j") else steps[rank][1]
        np.testing.assert_allclose(found[every - 1][2], own, atol=1e-5)


@pytest.mark.parametrize("way", ["sparknet:tau=4", "dl4j:k=4"])
def test_a_test_and_a_snapshot_see_the_mean_of_all_ranks(way: str) -> None:
    def work(ring: Communicator) -> list[tuple[Any, Any]]:
        solver: Any = FakeSolver(ring.rank)
        sync = create_sync(way, ring)
        found = []
        for step in (
            sync.settle,
            sync.gather_random_states,
            lambda s: sync.on_requests(s, {"stop"}),
        ):
            iterate(solver, sync)
            assert not sync.equal
            step(solver)
            assert sync.equal
            found.append(state(solver))
        return found

    by_rank = run_ranks(3, work)
    mean = np.mean([alone(rank, 1)[0] for rank in range(3)], axis=0)
    np.testing.assert_allclose(by_rank[0][0][0], mean, atol=1e-5)
    for tested, written, stopped in zip(*by_rank, strict=True):
        for found in (tested, written, stopped):
            assert len({array.tobytes() for array in found[:1]}) == 1
    assert len({found[1][1].tobytes() for found in by_rank}) == 1, "one history in a snapshot"


# --- thresholds ----------------------------------------------------------------------------------


def test_a_threshold_by_hand() -> None:
    limit, ranks, scale = np.float32(0.5), 3, 0.3
    by_rank = run_ranks(ranks, partial(train, way="threshold:threshold=0.5", scale=scale))
    solvers: list[Any] = [FakeSolver(rank) for rank in range(ranks)]
    data, velocity = state(solvers[0])
    residuals = np.zeros((ranks, COUNT), np.float32)
    for iteration in range(ITERATIONS):
        total = np.zeros(COUNT, np.float32)
        for solver, residual in zip(solvers, residuals, strict=True):
            solver.iter = iteration
            for layer in range(len(SHAPES)):
                solver.backward(layer)
            residual += solver.net.flat_params.diff.read("cpu") * np.float32(scale)
            sent = np.where(abs(residual) > limit, np.sign(residual) * limit, np.float32(0))
            residual -= sent
            total += sent
        velocity = np.float32(0.9) * velocity + total * np.float32(1 / ranks)
        data = data - np.float32(0.1) * velocity
        np.testing.assert_allclose(by_rank[0][iteration][1], data, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.001, 1 / 17, 1 / 15, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 7, 1000, 4097])
def test_what_is_sent_and_what_is_kept_are_the_gradient(share: float, size: int) -> None:
    rng = np.random.default_rng(size)
    gradient = np.where(rng.random(size) < share, 3.0, 0.25) * rng.choice([-1.0, 1.0], size)
    gradient = gradient.astype(np.float32)
    residual = gradient.copy()
    message = threshold.encode(residual, np.float32(1))
    total = np.zeros(size, np.float32)
    threshold.decode(message, np.float32(1), total)
    np.testing.assert_array_equal(total, np.sign(gradient) * (abs(gradient) > 1))
    np.testing.assert_array_equal(total + residual, gradient)
    count = int((abs(gradient) > 1).sum())
    assert len(message) == 8 + (2 * -(-size // 8) if count > size // 16 else 4 * count)


@pytest.mark.parametrize(
    "message", [b"\0" * 8 + b"x", b"\1\0\0\0\7\0\0\0ab", b"\1\0\0\0\10\0\0\0a"]
)
def test_a_message_of_another_size_is_refused(message: bytes) -> None:
    with pytest.raises(CommunicationError, match="encode no gradient of 8"):
        threshold.decode(message, np.float32(1), np.zeros(8, np.float32))


# --- bytes ---------------------------------------------------------------------------------------


def bytes_sent(ring: Communicator, way: str, scale: float = 1.0) -> list[int]:
    """What this rank gives to its right neighbour in each iteration."""
    solver: Any = FakeSolver(ring.rank)
    sync = create_sync(way, ring)
    sync.on_start(solver)  # the broadcast is not of an iteration
    so_far = [ring.bytes_sent]
    for _ in range(ITERATIONS):
        iterate(solver, sync, scale)
        so_far.append(ring.bytes_sent)
    sync.close()
    return np.diff(so_far).tolist()


@pytest.mark.parametrize("ranks", [2, 4])
def test_allreduce_sends_what_it_says(ranks: int) -> None:
    """On the ring; by recursive doubling, all of it in each step."""
    for sent in run_ranks(ranks, partial(bytes_sent, way="allreduce")):
        np.testing.assert_allclose(sent, 2 * S * (ranks - 1) / ranks, atol=8 * ranks)
    for sent in run_ranks(ranks, partial(bytes_sent, way="allreduce"), doubling_bytes=S):
        assert sent == [S * math.log2(ranks)] * ITERATIONS


@pytest.mark.parametrize("ranks", [2, 4])
def test_sparknet_sends_what_it_says(ranks: int) -> None:
    """Rank r sends its own weights and passes on those of ranks 1 to r - 1; rank P - 1 is last
    in the broadcast."""
    for rank, sent in enumerate(run_ranks(ranks, partial(bytes_sent, way="sparknet:tau=4"))):
        a_round = rank * S + (S if rank < ranks - 1 else 0)
        assert sent == [0, 0, 0, a_round] * 3


@pytest.mark.parametrize("ranks", [2, 4])
def test_dl4j_sends_what_it_says(ranks: int) -> None:
    for rank, sent in enumerate(run_ranks(ranks, partial(bytes_sent, way="dl4j:k=3"))):
        up = {2: [0, 1], 4: [0, 1, 1, 2]}[ranks][rank]
        a_round = 2 * S * (up + (rank < ranks - 1))
        assert sent == [0, 0, a_round] * 4


def test_threshold_sends_what_it_says() -> None:
    """A bitmap is a sixteenth of the gradients; what is hardly ever above the threshold, less."""
    lengths = 8  # an int64 a rank, which goes first
    for sent in run_ranks(2, partial(bytes_sent, way="threshold:threshold=0.1")):
        np.testing.assert_array_equal(sent, 8 + 2 * -(-COUNT // 8) + lengths)
        assert sent[0] < S / 15
    for sent in run_ranks(2, partial(bytes_sent, way="threshold:threshold=2", scale=0.1)):
        assert sent[0] == 8 + lengths, "nothing is above it yet"
        assert max(sent) < 100


@pytest.mark.parametrize("bucket", ["one", "4096"])
def test_compression_halves_the_bytes_of_gradients_and_of_nothing_else(bucket: str) -> None:
    """The first weights and history travel whole: ranks begin with the bits of rank 0."""

    def work(ring: Communicator) -> tuple[Any, int]:
        found = train(ring, f"allreduce:bucket={bucket},compress=bf16")
        return found[-1][1], ring.bytes_sent

    by_rank = run_ranks(3, work)
    assert all(np.array_equal(weights, by_rank[0][0]) for weights, _ in by_rank)
    assert sum(sent for _, sent in by_rank) == 2 * (2 * S + ITERATIONS * S)
    whole = run_ranks(3, lambda ring: train(ring, f"allreduce:bucket={bucket}")[-1][1])
    np.testing.assert_allclose(by_rank[0][0], whole[0], rtol=0.1, atol=0.1)
    assert not np.array_equal(by_rank[0][0], whole[0])
