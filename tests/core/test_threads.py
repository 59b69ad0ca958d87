"""Threads: how many, the same results on any number, one pool a process, forks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.errors import DeviceError
from minicaffe.machine import threads
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from tests.conftest import CHECKOUT

NET = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 8 dim: 3 dim: 12 dim: 12 } shape { dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process in which nobody has asked for threads, and no variable says how many."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_asked", 0)
    monkeypatch.setattr(threads, "_most", sys.maxsize)
    yield monkeypatch


@pytest.mark.parametrize(
    ("quota", "expected"),
    [(None, 3), ("max 100000", 3), ("200000 100000", 2), ("50000 100000", 1), ("900000 100000", 3)],
)
def test_as_many_as_the_process_has_cpus(
    fresh: pytest.MonkeyPatch, tmp_path: Path, quota: str | None, expected: int
) -> None:
    fresh.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    fresh.setattr(threads, "QUOTA", str(tmp_path / "cpu.max"))
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert minicaffe.num_threads() == expected


def test_the_environment_decides(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("NUMBA_NUM_THREADS", "4")
    fresh.setenv("MINICAFFE_NUM_THREADS", "6")
    assert minicaffe.num_threads() == 6


def test_numbas_variable_is_obeyed(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("NUMBA_NUM_THREADS", "4")
    assert minicaffe.num_threads() == 4


def test_a_call_wins_over_the_environment(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("MINICAFFE_NUM_THREADS", "6")
    minicaffe.set_num_threads(2)
    assert minicaffe.num_threads() == 2


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_a_variable_that_is_no_number(fresh: pytest.MonkeyPatch, text: str) -> None:
    fresh.setenv("MINICAFFE_NUM_THREADS", text)
    with pytest.raises(DeviceError, match=f"MINICAFFE_NUM_THREADS={text}: the number of threads"):
        minicaffe.num_threads()


def test_at_least_one(fresh: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="0 threads asked for; a kernel needs one at least"):
        minicaffe.set_num_threads(0)


def test_no_more_than_the_pool_has(fresh: pytest.MonkeyPatch) -> None:
    minicaffe.set_num_threads(3)
    threads.limit_threads(2, "the pool is small")
    assert minicaffe.num_threads() == 2
    with pytest.raises(DeviceError, match="3 threads asked for, 2 can be had: the pool is small"):
        minicaffe.set_num_threads(3)


# --- results -------------------------------------------------------------------------------------


def trained_weights(count: int) -> np.ndarray:
    """The weights after three iterations on so many threads."""
    before = minicaffe.num_threads()
    minicaffe.set_num_threads(count)
    try:
        with context.fresh():
            param = pb.SolverParameter(
                base_lr=0.1, lr_policy="fixed", momentum=0.9, random_seed=4, max_iter=3
            )
            parse_text(NET, param.net_param)
            solver = create_solver(param, device="cpu")
            rng = np.random.default_rng(2)
            solver.net.blob_dict["x"].data[...] = rng.random((8, 3, 12, 12))
            solver.net.blob_dict["label"].data[...] = np.arange(8)
            solver.step(3)
            return np.array(solver.net.flat_params.data)
    finally:
        minicaffe.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
def test_a_training_gives_the_same_bits_each_time(count: int) -> None:
    first = trained_weights(count)
    assert first.any()
    np.testing.assert_array_equal(trained_weights(count), first)


def test_a_training_gives_the_same_bits_on_one_thread_and_two() -> None:
    np.testing.assert_array_equal(trained_weights(2), trained_weights(1))


# --- one pool ------------------------------------------------------------------------------------


def run(code: str, **environment: str) -> str:
    """What a Python of its own prints; it must end well."""
    settings = {"PYTHONPATH": str(CHECKOUT), "MINICAFFE_NUM_THREADS": "2", **environment}
    # kernels that ran in this process may have set it
    inherited = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env={**inherited, **settings},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_share_the_pool(layer: str) -> None:
    """Numba's workqueue ends a process in which two threads run parallel loops at once."""
    code = """
import threading, numpy as np
from minicaffe.device import load_kernel
fill = load_kernel("fill", "cpu").fill
arrays = [np.zeros(20000, np.float32) for _ in range(3)]
def work(array):
    for value in range(300):
        fill(array, value)
crowd = [threading.Thread(target=work, args=(array,)) for array in arrays]
[one.start() for one in crowd]
[one.join() for one in crowd]
import numba
print(numba.threading_layer(), all((array == 299).all() for array in arrays))
"""
    assert run(code, NUMBA_THREADING_LAYER=layer) == f"{layer} True"


def test_a_forked_child_computes_on_one_thread() -> None:
    """GNU OpenMP ends a child that uses it after its parent did."""
    code = """
import os, warnings, numpy as np, minicaffe
from minicaffe.device import load_kernel
warnings.simplefilter("ignore", DeprecationWarning)  # of forks where threads run
fill = load_kernel("fill", "cpu").fill
array = np.zeros(20000, np.float32)
fill(array, 1)
child = os.fork()
if child == 0:
    fill(array, 2)
    os._exit(0 if minicaffe.num_threads() == 1 and (array == 2).all() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), minicaffe.num_threads())
"""
    assert run(code, NUMBA_THREADING_LAYER="omp") == "0 2"


def test_a_child_forked_before_may_use_all_threads() -> None:
    code = """
import os, numpy as np, minicaffe
from minicaffe.device import load_kernel
fill = load_kernel("fill", "cpu").fill
array = np.zeros(20000, np.float32)
child = os.fork()
fill(array, 1)
if child == 0:
    os._exit(0 if minicaffe.num_threads() == 2 and (array == 1).all() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (array == 1).all())
"""
    assert run(code) == "0 True"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_that_wait_go_to_sleep(environment: dict[str, str], expected: str) -> None:
    """OpenMP's own spinning keeps out the threads that are waited for, on a machine in use."""
    code = """
import os, numpy as np
from minicaffe.device import load_kernel
load_kernel("fill", "cpu").fill(np.zeros(1 << 17, np.float32), 1)
print(os.environ.get("GOMP_SPINCOUNT"))
"""
    assert run(code, NUMBA_THREADING_LAYER="omp", **environment) == expected
