"""A process that is killed while it writes snapshots: the newest whole one always loads."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from tests.conftest import CHECKOUT
from tests.solver.snapshots import make, weights

KILLS = 100
NET = """
    layer { name: "data" type: "Input" top: "x" top: "y"
            input_param { shape { dim: 2 dim: 64 } shape { dim: 2 dim: 64 } } }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
            inner_product_param { num_output: 512 weight_filler { type: "gaussian" std: 0.01 } } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
            inner_product_param { num_output: 64 weight_filler { type: "gaussian" std: 0.01 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "y" top: "loss" }
"""
OPTIONS = "base_lr: 0.001 lr_policy: 'fixed' momentum: 0.5 snapshot: 1 max_iter: 1000000"
# One process that has loaded everything makes the others, which are killed.
PROGRAM = """
import os, sys
from minicaffe import context
from tests.solver.snapshots import make
from tests.solver.test_snapshot_kills import NET, OPTIONS
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
folder = sys.argv[1]
warm = make(folder, OPTIONS, NET); warm.param.snapshot = 0; warm.step(1)
for line in sys.stdin:
    child = os.fork()
    if not child:
        solver = make(folder, OPTIONS, NET)
        solver.solve(newest_complete_snapshot(folder + "/s"))
        os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


def half_written(folder):
    return sum(name.startswith(".s_iter") for name in os.listdir(folder))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_newest_snapshot_loads_after_every_kill(tmp_path):
    chance = random.Random(5)
    environment = {**os.environ, "MINICAFFE_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=CHECKOUT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdin and parent.stdout
    reached, cut = 0, 0
    with parent:
        for _ in range(KILLS):
            print("next", file=parent.stdin, flush=True)
            child = int(parent.stdout.readline())
            time.sleep(chance.uniform(0.02, 0.15))
            os.kill(child, signal.SIGKILL)
            time.sleep(0.02)
            cut += half_written(tmp_path)
            newest = newest_complete_snapshot(f"{tmp_path}/s")
            if newest is None:
                assert reached == 0
                continue
            solver = make(tmp_path, OPTIONS, NET)
            solver.restore(newest)
            assert solver.iter >= reached
            assert np.isfinite(weights(solver)).all()
            reached = solver.iter
            assert not half_written(tmp_path)  # the next one that starts clears it away
            for name in os.listdir(tmp_path):
                if f"_iter_{reached}." not in name:
                    os.remove(tmp_path / name)
        parent.stdin.close()
    assert reached > KILLS / 4
    assert cut > 0  # kills have hit files that were being written
