"""A small selection of the comparison under pytest-benchmark: `make bench`.

On one thread, by processor time, all contenders in this process: for following minicaffe's own
speed from change to change (`--benchmark-autosave`, `--benchmark-compare`). Ratios to quote come
from `python -m benchmarks`, which measures in turns and gives each contender its own environment.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pytest

from benchmarks import layers, nets
from benchmarks.cases import FORWARD, Arrays, Case, Unsupported, arrays_of
from benchmarks.measure import Result, check, usual_bounds, work_of
from benchmarks.peers import PEERS, Work

CHOSEN = "|".join(
    (
        "LeNet conv2", "CIFAR-10 quick conv2", "CaffeNet conv3", "VGG conv5_2", "ResNet 1x1, 64 ",
        "ResNet 3x3, 128", "depthwise, 256", "LeNet ip1", "CaffeNet fc8", "^ReLU", "^Sigmoid",
        "pool1, MAX 3x3", "pool2, AVE", "norm1", "BatchNorm, 64", "Eltwise SUM",
        "WithLoss, 256", "parameters", "LeNet, batch 64, (forward|train)",
    )
)  # fmt: skip
EVERY = chain(
    layers.convolutions(), layers.products(), layers.others(), layers.updates(), nets.nets()
)
CASES = [case for case in EVERY if re.search(CHOSEN, case.title)]
PAIRS = [
    pytest.param(case, key, id=f"{case.title}-{key}")
    for case in CASES
    for key in ("minicaffe", "numpy", "torch", "onnxruntime")
    if key != "onnxruntime" or case.work == FORWARD
]


def prepare(case: Case, key: str, arrays: Arrays) -> Work:
    """A case made ready on a contender, in this process."""
    peer = PEERS[key]
    module = importlib.import_module(f"benchmarks.peers.{peer.module}")
    work: Work = module.prepare(case, arrays, peer, 1)
    return work


@cache
def expected(case: Case) -> Arrays:
    """The numbers that NumPy gives."""
    return prepare(case, "numpy", arrays_of(case)).results()


@pytest.fixture
def work(case: Case, key: str) -> Iterator[Work]:
    """A case on a contender whose numbers are right."""
    if reason := PEERS[key].missing():
        pytest.skip(reason)
    try:
        made = prepare(case, key, arrays_of(case))
    except Unsupported as error:
        pytest.skip(f"{PEERS[key].name}: {error}")
    result = Result()
    numbers = expected(case)
    check(result, made, numbers, usual_bounds(case, numbers))
    assert not result.wrong, result.reason
    yield made


@pytest.mark.timeout(600)
@pytest.mark.benchmark(timer=time.process_time, warmup=True, max_time=0.5)
@pytest.mark.parametrize(("case", "key"), PAIRS)
def test_speed(case: Case, key: str, work: Work, benchmark: Any) -> None:
    benchmark.group = case.title
    benchmark.name = PEERS[key].name
    benchmark(work.call)
    if benchmark.stats is not None:
        flops, _ = work_of(case)
        median = float(np.median(benchmark.stats.stats.data))
        benchmark.extra_info["GFLOP/s"] = round(flops / median / 1e9, 2)
