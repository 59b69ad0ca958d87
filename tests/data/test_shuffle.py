"""The order of samples that are read by groups: shuffled in bounded memory, alike on all ranks."""

from collections import Counter

import numpy as np
import pytest

from minicaffe.data.shuffle import Groups
from minicaffe.data.source import Order, Place


def random_groups(seed: int) -> Groups:
    """Some groups, a few of them empty, and a window that holds between one and all of them."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 9, random.integers(1, 12))
    rows[0] += 1
    sizes = rows * random.integers(1, 4, len(rows))
    return Groups(rows.tolist(), sizes.tolist(), int(random.integers(1, sizes.sum() + 2)))


@pytest.mark.parametrize("seed", range(60))
def test_every_sample_comes_once_an_epoch_whatever_the_groups(seed: int) -> None:
    groups = random_groups(seed)
    size, ranks, batch = groups.starts[-1], seed % 4 + 1, seed % 5 + 1
    orders = [Order(size, batch, True, seed, rank, ranks, groups=groups) for rank in range(ranks)]
    batches = 3 * size // (batch * ranks) + 1
    seen = Counter(place for k in range(batches) for order in orders for place in order.places(k))
    whole_epochs = batches * batch * ranks // size
    assert set(seen.values()) == {1}
    assert {Place(e, i) for e in range(whole_epochs) for i in range(size)} <= set(seen)


@pytest.mark.parametrize("seed", range(20))
def test_a_rank_reads_its_positions_of_the_order_of_one_alone(seed: int) -> None:
    groups = random_groups(seed)
    size, ranks = groups.starts[-1], seed % 3 + 2
    lone = Order(size, 1, True, 7, 0, 1, groups=groups)
    alone = [place for k in range(3 * size) for place in lone.places(k)]
    for rank in range(ranks):
        # Another object for each rank, as in another process.
        order = Order(size, 2, True, 7, rank, ranks, groups=random_groups(seed))
        here = [place for k in range(3 * size // ranks // 2) for place in order.places(k)]
        assert here == alone[rank::ranks][: len(here)]


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_is_a_function_of_its_number(seed: int) -> None:
    groups = random_groups(seed)
    order = Order(groups.starts[-1], 3, True, seed, 0, 1, groups=groups)
    forwards = [order.places(k) for k in range(8)]
    assert [order.places(k) for k in reversed(range(8))] == forwards[::-1]


@pytest.mark.parametrize("seed", range(20))
def test_no_more_groups_are_needed_at_a_time_than_a_window_holds(seed: int) -> None:
    groups = random_groups(seed)
    size = groups.starts[-1]
    epoch = Order(size, size, True, 1, 0, 1, groups=groups).places(0)
    left = [groups.find(place.index)[0] for place in epoch]
    first = {group: left.index(group) for group in left}
    last = {group: size - 1 - left[::-1].index(group) for group in left}
    for position in range(size):
        open_now = [group for group in first if first[group] <= position <= last[group]]
        assert len(open_now) == 1 or sum(groups.sizes[g] for g in open_now) <= groups.limit


def test_one_window_that_holds_all_is_the_permutation_of_all() -> None:
    groups = Groups([3, 0, 5, 2], [30, 0, 50, 20], 100)
    by_groups = Order(10, 10, True, 3, 0, 1, groups=groups)
    assert [by_groups.places(k) for k in range(3)] == [
        Order(10, 10, True, 3).places(k) for k in range(3)
    ]


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    groups = Groups([4] * 6, [4] * 6, 8)

    def epoch(number: int, seed: int) -> list[int]:
        return [
            place.index for place in Order(24, 24, True, seed, 0, 1, groups=groups).places(number)
        ]

    assert epoch(0, 1) != epoch(1, 1)
    assert epoch(0, 1) != epoch(0, 2)
    assert epoch(0, 1)[:8] == [12, 21, 23, 22, 20, 14, 13, 15]  # the same in every version


def test_groups_are_read_in_turn_when_nothing_is_shuffled() -> None:
    groups = Groups([2, 3], [2, 3], 1)
    places = Order(5, 5, False, 0, 0, 1, groups=groups).places(0)
    assert [place.index for place in places] == [0, 1, 2, 3, 4]
