"""The model of an iteration on many ranks: what it must give where the answer is known."""

import itertools
import math

import pytest

from benchmarks.scale.events import Mailbox, Process, Signal, Simulation
from benchmarks.scale.model import Course, Stragglers, Work, simulate
from benchmarks.scale.network import Cluster, Cores, Link
from benchmarks.scale.ways import WAYS

LINK = Link("10 Gbit/s", 25e-6, 1.25e9)
HOST = Link("memory", 1e-6, 1e10)
WORK = Work(0.010, [(0.004, 1.0e6), (0.006, 2.5e6), (0.002, 0.5e6), (0.001, 0.0)], 0.0005)
NOTHING = Work(0.0, [(0.0, 4.0e6)], 0.0)
SMALL = Work(0.0, [(0.0, 4096.0)], 0.0)
RANKS = (1, 2, 3, 4, 5, 8, 16)
SYMMETRIC = ("ring", "halving", "doubling", "product", "hierarchy", "mesh")
POWERS = ("halving", "doubling", "product")  # of two ranks


def exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-12, abs=1e-15)


# --- the simulator -------------------------------------------------------------------------------


def test_processes_wait_for_seconds_signals_and_ends() -> None:
    simulation, seen = Simulation(), []
    signal = Signal()

    def first() -> Process:
        yield 2.0
        seen.append(("fires", simulation.now))
        signal.fire()
        yield 1.0

    def second(before: Signal) -> Process:
        yield signal
        seen.append(("heard", simulation.now))
        yield before
        seen.append(("ended", simulation.now))

    simulation.start(second(simulation.start(first())))
    assert simulation.run() == 3.0
    assert seen == [("fires", 2.0), ("heard", 2.0), ("ended", 3.0)]


def test_what_waits_for_ever_is_an_error() -> None:
    simulation = Simulation()

    def waits() -> Process:
        yield Mailbox().take()

    simulation.start(waits())
    with pytest.raises(RuntimeError, match="1 processes wait for what never happens"):
        simulation.run()


@pytest.mark.parametrize(
    ("jobs", "ends"),
    [
        ([(0.0, 1.0), (0.0, 2.0)], [1.0, 2.0]),  # a core each
        ([(0.0, 1.0)] * 4, [2.0] * 4),  # half a core each
        ([(0.0, 2.0), (0.0, 2.0), (1.0, 0.5)], [2.25, 2.25, 1.75]),  # two thirds for 0.75 s
    ],
)
def test_cores_are_shared_equally(jobs: list[tuple[float, float]], ends: list[float]) -> None:
    simulation = Simulation()
    cores, seen = Cores(simulation, 2), {}

    def job(number: int, start: float, seconds: float) -> Process:
        yield start
        yield cores.work(seconds)
        seen[number] = simulation.now

    for number, (start, seconds) in enumerate(jobs):
        simulation.start(job(number, start, seconds))
    simulation.run()
    assert [seen[number] for number in range(len(jobs))] == [exactly(end) for end in ends]


# --- known answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("overlap", [True, False])
def test_one_rank_takes_the_sum_of_its_layers(way: str, overlap: bool) -> None:
    course = simulate(WORK, Cluster(1, LINK), way, overlap=overlap, iterations=3)
    assert course == Course(exactly(0.0235), 0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_without_latency_and_with_all_bandwidth_computing_is_all(way: str) -> None:
    course = simulate(WORK, Cluster(8, Link("ideal", 0.0, math.inf)), way, iterations=2)
    assert course.seconds == exactly(WORK.compute)


@pytest.mark.parametrize("ranks", RANKS)
def test_what_the_ways_cost_alone(ranks: int) -> None:
    def alone(way: str) -> float:
        return simulate(NOTHING, Cluster(ranks, LINK), way, overlap=False).seconds

    alpha, moved, share = LINK.latency, NOTHING.size / LINK.bandwidth, (ranks - 1) / ranks
    assert alone("ring") == exactly(2 * (ranks - 1) * alpha + 2 * moved * share)
    assert alone("mesh") == exactly((2 * alpha + 2 * moved * share) if ranks > 1 else 0)
    assert alone("sparknet") * 10 == exactly(2 * (alpha + ranks * moved) if ranks > 1 else 0)
    small = simulate(SMALL, Cluster(ranks, LINK), "product", overlap=False).seconds
    assert small == simulate(SMALL, Cluster(ranks, LINK), "doubling", overlap=False).seconds
    assert alone("product") == alone("ring")
    if ranks & (ranks - 1) == 0:
        rounds = math.log2(ranks)
        assert alone("doubling") == exactly(rounds * (alpha + moved))
        assert alone("halving") == exactly(2 * rounds * alpha + 2 * moved * share)
        assert alone("tree") <= 2 * rounds * (alpha + moved) * (1 + 1e-12)


@pytest.mark.parametrize(("way", "ranks"), [*itertools.product(("ring", "halving"), (2, 4, 16))])
def test_a_rank_sends_the_least_that_an_allreduce_needs(way: str, ranks: int) -> None:
    course = simulate(NOTHING, Cluster(ranks, LINK), way, overlap=False)
    assert course.sent == exactly(2 * NOTHING.size * (ranks - 1) / ranks)


def test_segments_hide_latency_and_nothing_else() -> None:
    cluster = Cluster(4, Link("far", 1e-3, 1e9))
    whole = simulate(NOTHING, cluster, "ring", overlap=False).seconds
    cut = simulate(NOTHING, cluster, "ring", overlap=False, segment=1e4).seconds
    least = 2 * NOTHING.size * 3 / 4 / 1e9
    assert least < cut < whole


# --- overlap -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", SYMMETRIC)
@pytest.mark.parametrize("bandwidth", [1e7, 1e8, 1e9, 1e10])
def test_overlap_hides_at_most_backward_and_never_costs(way: str, bandwidth: float) -> None:
    # without latency a bucket costs what its bytes cost, so that cutting in buckets is free
    cluster = Cluster(8, Link("no latency", 0.0, bandwidth))
    late = simulate(WORK, cluster, way, overlap=False).seconds
    early = simulate(WORK, cluster, way, overlap=True).seconds
    backward = sum(seconds for seconds, _ in WORK.backward)
    assert late * (1 + 1e-12) >= early >= late - backward


def test_a_sender_that_needs_the_core_hides_nothing() -> None:
    """One core: what the sender takes, backward lacks."""
    cpu = Link("sockets", 0.0, 1e12, per_byte=1e-9)
    cluster = Cluster(2, cpu, 1, None, 1)
    late = simulate(WORK, cluster, "ring", overlap=False).seconds
    early = simulate(WORK, cluster, "ring", overlap=True).seconds
    assert early == pytest.approx(late, rel=1e-4)
    free = simulate(WORK, cluster._replace(cores=2), "ring", overlap=True).seconds
    assert free < 0.9 * late


def test_ranks_share_the_cores_of_their_machine() -> None:
    silent = Work(0.010, [(0.010, 0.0)], 0.0)
    cluster = Cluster(4, LINK, 1, None, cores=2, hosts_together=4)
    assert simulate(silent, cluster, "ring").seconds == pytest.approx(0.040, rel=0.02)


# --- one host for all ----------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "ranks"), [*itertools.product(SYMMETRIC, range(2, 17))])
@pytest.mark.parametrize("overlap", [True, False])
def test_one_rank_stands_for_all_exactly(way: str, ranks: int, overlap: bool) -> None:
    if way in POWERS and ranks & (ranks - 1):
        with pytest.raises(ValueError, match="no rank stands for all"):
            simulate(WORK, Cluster(ranks, LINK), way, stand_ins=True)
        return
    whole, one = (
        simulate(WORK, Cluster(ranks, LINK), way, overlap=overlap, iterations=3, stand_ins=stand_in)
        for stand_in in (False, True)
    )
    assert one.seconds == exactly(whole.seconds)
    assert one.messages == exactly(whole.messages)
    assert one.sent == pytest.approx(whole.sent, rel=1e-9)


@pytest.mark.parametrize("way", SYMMETRIC)
@pytest.mark.parametrize(("hosts", "per_host"), [(2, 4), (4, 2), (4, 4), (8, 2)])
def test_one_host_stands_for_all_exactly(way: str, hosts: int, per_host: int) -> None:
    cluster = Cluster(hosts * per_host, LINK, per_host, HOST)
    whole, one = (
        simulate(WORK, cluster, way, iterations=2, stand_ins=stand_in) for stand_in in (False, True)
    )
    assert one.seconds == exactly(whole.seconds)


@pytest.mark.parametrize("ranks", [3, 8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_the_slowest_stands_for_all_in_one_iteration(ranks: int, seed: int) -> None:
    whole, one, many, many_by_one = (
        simulate(WORK, Cluster(ranks, LINK), "ring", iterations=iterations,
                 stragglers=Stragglers(0.3, seed), stand_ins=stand_in).seconds
        for iterations in (1, 4) for stand_in in (False, True)
    )  # fmt: skip
    assert one == exactly(whole)
    assert many <= many_by_one * (1 + 1e-12)


# --- hierarchy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("overlap", [True, False])
def test_hierarchy_with_one_rank_a_host_is_the_ring(ranks: int, overlap: bool) -> None:
    ring, hierarchy = (
        simulate(WORK, Cluster(ranks, LINK, 1, HOST), way, overlap=overlap, iterations=2)
        for way in ("ring", "hierarchy")
    )
    assert hierarchy == ring


def test_hierarchy_goes_round_in_fewer_steps() -> None:
    cluster = Cluster(64, Link("far", 1e-3, 1e9), 8, HOST)
    flat, hierarchy = (
        simulate(NOTHING, cluster, way, overlap=False).seconds for way in ("ring", "hierarchy")
    )
    assert hierarchy < flat


def test_ranks_of_a_host_share_its_plug() -> None:
    """Each of four ranks sends a quarter of the host's bytes through one plug."""
    cluster = Cluster(8, LINK, 4, Link("nothing", 0.0, math.inf))
    course = simulate(NOTHING, cluster, "hierarchy", overlap=False)
    assert course.seconds >= NOTHING.size / LINK.bandwidth * (1 - 1e-12)


# --- stragglers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_seed_gives_the_same_figures(way: str) -> None:
    def run(seed: int) -> Course:
        return simulate(WORK, Cluster(6, LINK), way, iterations=4, stragglers=Stragglers(0.2, seed))

    assert run(3) == run(3)
    assert run(3) != run(4)


@pytest.mark.parametrize("way", ["ring", "tree", "mesh", "hierarchy"])
def test_who_is_slower_makes_nobody_faster(way: str) -> None:
    """Factors above one alone: half of the normal ones, mirrored, would make ranks faster."""

    class Slower(Stragglers):
        def factors(self, ranks: int, iterations: int) -> list[list[float]]:
            rows = super().factors(ranks, iterations)
            return [[max(1.0, factor) for factor in row] for row in rows]

    seconds = [
        simulate(WORK, Cluster(8, LINK), way, iterations=3, stragglers=Slower(spread, 7)).seconds
        for spread in (0.0, 0.05, 0.1, 0.2, 0.4)
    ]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[-1]


# --- mistakes ------------------------------------------------------------------------------------


def test_mistakes_say_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no way 'rign' \(there are: ring, halving"):
        simulate(WORK, Cluster(2, LINK), "rign")
    with pytest.raises(ValueError, match="6 ranks are not 4 on every host"):
        simulate(WORK, Cluster(6, LINK, 4), "ring")
    with pytest.raises(ValueError, match="tree: no rank stands for all"):
        simulate(WORK, Cluster(4, LINK), "tree", stand_ins=True)
