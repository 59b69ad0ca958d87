"""A run that goes on from a snapshot: with other ranks, another seed, another net."""

from collections import Counter

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data.database import create_database
from minicaffe.errors import SnapshotError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.state_file import load_state, save_state
from tests.solver.snapshots import FORMATS, NET, SUFFIX, make, weights

SAMPLES, BATCH = 50, 5


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An LMDB of 50 pictures of 2 x 2, whose first value is their number."""
    path = tmp_path_factory.mktemp("data") / "lmdb"
    with create_database(str(path)) as out:
        for i in range(SAMPLES):
            pixels = np.array([i, 1, 2, 3], np.uint8).tobytes()
            datum = pb.Datum(channels=1, height=2, width=2, label=i % 2, data=pixels)
            out.put(f"{i:08d}".encode(), datum.SerializeToString())
    return path


def net(database):
    return f"""
        layer {{ name: "data" type: "MemoryData" top: "x" top: "y" source_class: "LMDB"
                memory_data_param {{ source: "{database}" batch_size: {BATCH} }} }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
                inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }}"""


class Ranks:
    """As many ranks as there are, of which this is the first: it alone computes."""

    def __init__(self, count):
        self.count = count

    def gather_random_states(self, solver):
        return [context.current().rng.get_state()] * self.count


def solver_of(tmp_path, database, ranks, seed, options=""):
    here = context.current()
    here.solver_count, here.data_seed = ranks, seed
    solver = make(tmp_path, f"base_lr: 0.001 {options}", net(database))
    solver.callbacks.append(Ranks(ranks))
    return solver


def seen(solver, iterations):
    """The places of the samples that all ranks together see in the next iterations."""
    batches = solver.net.nodes[0].batches
    first = batches.position
    one = batches.order
    places = [one._place(first + i) for i in range(iterations * BATCH * one.world_size)]
    solver.step(iterations)
    assert batches.position == first + len(places)
    return places


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2), (2, 3)])
def test_each_sample_comes_once_an_epoch_with_any_number_of_ranks(
    tmp_path, database, kind, before, after
):
    first = solver_of(tmp_path, database, before, 7, f"snapshot_format: {kind}")
    places = seen(first, 7)
    first.snapshot()
    second = solver_of(tmp_path, database, after, 8)
    second.restore(f"{tmp_path}/s_iter_7.solverstate{SUFFIX[kind]}")
    places += seen(second, 23)
    epochs = len(places) // SAMPLES
    assert epochs >= 3
    counted = Counter(place for place in places if place.epoch < epochs)
    assert set(counted.values()) == {1}
    assert len(counted) == epochs * SAMPLES
    first.close(), second.close()


def test_the_ranks_of_the_resumed_run_share_the_samples_that_are_left(tmp_path, database):
    first = solver_of(tmp_path, database, 3, 7)
    first.step(1)
    first.snapshot()
    found = []
    for rank in (0, 1):
        context.current().solver_rank = rank
        second = solver_of(tmp_path, database, 2, 8)
        second.restore(f"{tmp_path}/s_iter_1.solverstate")
        batches = second.net.nodes[0].batches
        found += [batches.next().ids, [f"{p.index:08d}" for p in batches.order.places(2)]]
        second.close()
    order = first.net.nodes[0].batches.order
    expected = [f"{order._place(p).index:08d}" for p in range(15, 15 + 10)]
    assert found[0] == expected[0::2] and found[2] == expected[1::2]
    assert not set(found[0] + found[2]) & set(found[1] + found[3])
    first.close()


def test_a_lone_run_without_a_seed_goes_on_with_the_bits_of_one_that_was_not_stopped(
    tmp_path, database
):
    options = "random_seed: -1 snapshot: 3"
    whole = solver_of(tmp_path, database, 1, None, options)
    whole.solve()
    resumed = solver_of(tmp_path, database, 1, None, options)
    resumed.solve(f"{tmp_path}/s_iter_3.solverstate")
    assert np.array_equal(weights(resumed), weights(whole))
    whole.close(), resumed.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("num_output: 3", "num_output: 4"), "in its layer 'a' inner_product_param.num_output is 3,"
         " 4 in this one"),
        (('name: "a"', 'name: "c"'), "it has a layer 'a', which is not in this one"),
        (('layer { name: "drop" type: "Dropout" bottom: "a" top: "a" }', ""),
         "it has a layer 'drop'"),
        (('type: "Dropout"', 'type: "ReLU"'), "in its layer 'drop' type is Dropout, ReLU"),
        (('top: "a" }', 'top: "a" dropout_param { dropout_ratio: 0.25 } }'),
         "in its layer 'drop' dropout_param.dropout_ratio is 0.5, 0.25"),
    ],
)  # fmt: skip
def test_a_snapshot_of_another_net_is_refused_with_what_differs(tmp_path, change, message):
    make(tmp_path, "max_iter: 1").solve()
    other = make(tmp_path, net=NET.replace(*change))
    before = weights(other)
    with pytest.raises(SnapshotError, match=f"s_iter_1.solverstate: is of another net: {message}"):
        other.restore(f"{tmp_path}/s_iter_1.solverstate")
    assert np.array_equal(weights(other), before)


@pytest.mark.parametrize(
    "change",
    [
        ('type: "gaussian"', 'type: "xavier"'),
        ('bottom: "x" top: "a"', 'bottom: "x" top: "a" param { lr_mult: 2 }'),
        ('layer { name: "loss"',
         'layer { name: "quiet" type: "Silence" bottom: "y" } layer { name: "loss"'),
    ],
)  # fmt: skip
def test_what_does_not_touch_the_meaning_of_weights_may_change(tmp_path, change):
    make(tmp_path, "max_iter: 1").solve()
    make(tmp_path, net=NET.replace(*change)).restore(f"{tmp_path}/s_iter_1.solverstate")


def test_another_rule_with_as_much_history_is_refused(tmp_path):
    make(tmp_path, "max_iter: 1").solve()
    with pytest.raises(SnapshotError, match="solver of type SGD, this one is AdaGrad"):
        make(tmp_path, "type: 'AdaGrad'").restore(f"{tmp_path}/s_iter_1.solverstate")


def test_other_rates_are_told_and_taken(tmp_path, caplog):
    make(tmp_path, "max_iter: 1").solve()
    solver = make(tmp_path, "base_lr: 0.01")
    with caplog.at_level("INFO"):
        solver.restore(f"{tmp_path}/s_iter_1.solverstate")
    assert "was written with base_lr: 0.1, from here on it is 0.01" in caplog.text
    assert solver.lr == pytest.approx(0.01)


def test_a_state_without_a_run_goes_on_at_the_batch_of_its_iteration(tmp_path, database):
    first = solver_of(tmp_path, database, 1, 7)
    first.step(4)
    first.snapshot()
    path = f"{tmp_path}/s_iter_4.solverstate"
    state = load_state(path)
    state.ClearField("run")
    state.ClearField("checksum")
    save_state(state, path)
    second = solver_of(tmp_path, database, 2, 7)
    second.restore(path)
    assert second.net.nodes[0].batches.position == 4 * BATCH * 2
    first.close(), second.close()
