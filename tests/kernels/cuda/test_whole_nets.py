"""Whole nets on `cuda`: nothing falls back, nothing moves between layers, ranks stay equal."""

from pathlib import Path

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.proto.files import read_net_binary
from tests.core.test_device import feed, lenet_solver
from tests.spark.test_spark_ranks import train
from tests.spark_cluster import SmallSet, spark_context


def test_lenet_is_all_on_the_device_and_trains_as_on_the_cpu(cuda: str) -> None:
    transfers = load_kernel("memory", cuda).transfers
    below, above = lenet_solver("cpu"), lenet_solver(cuda)
    assert {layer.device for layer in above.net.layers if layer.kernels} == {cuda}
    for turn in range(4):
        for solver in (below, above):
            feed(solver)
            before = dict(transfers)
            solver.step(1)
        moved = {way: transfers[way] - before[way] for way in before}
        if turn:  # up: images and labels; down: what the labels were, and the loss
            assert moved == {"up": 2, "down": 2}
    weights = [np.array(solver.net.flat_params.data.read("cpu")) for solver in (below, above)]
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-4, atol=1e-6)


def test_ranks_are_bit_equal_after_every_update(cuda: str, tmp_path: Path) -> None:
    small = SmallSet(tmp_path)
    solver = small.solver(max_iter=6, more="clip_gradients: 1")
    Path(solver).write_text(Path(solver).read_text().replace("display: 5", "display: 1"))
    notes, _ = train(small, solver, 2, "-device", cuda)
    assert notes[0].rows("weights") == notes[1].rows("weights")
    assert len(set(notes[0].rows("weights"))) == 6


@pytest.mark.slow
def test_two_ranks_in_spark(cuda: str, tmp_path: Path) -> None:
    """Each in a worker of its own, with a device of its own; the sum of their gradients is one."""
    pytest.importorskip("pyspark")
    small = SmallSet(tmp_path)
    models = [tmp_path / name for name in ("first", "second")]
    with spark_context("local[2]") as sc:
        for model in models:
            words = ["-conf", small.solver(max_iter=6, batch=4), "-clusterSize", "2", "-train"]
            conf = Config(sc, [*words, "-model", str(model), "-device", cuda])
            CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
    first, second = map(read_net_binary, map(str, models))
    assert first == second
