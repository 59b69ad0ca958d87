"""What pycaffe's functions set for the process: device, ranks, seeds, log, time."""

import logging
from pathlib import Path

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.device import known_families
from minicaffe.errors import DeviceError, Error

pytestmark = pytest.mark.usefixtures("on_reference")


def test_the_gpu_of_a_machine_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known_families.cache_clear()
    monkeypatch.setattr("minicaffe.device.known_devices", lambda: ["cpu", "reference"])
    caffe.set_device(0)
    with pytest.raises(DeviceError, match=r"no device 'cuda' .*set_mode_cpu\(\) needs no card"):
        caffe.set_mode_gpu()
    caffe.set_mode_cpu()
    known_families.cache_clear()


def test_ranks_of_this_thread() -> None:
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)
    caffe.set_solver_count(4)
    caffe.set_solver_rank(2)
    assert (caffe.solver_count(), caffe.solver_rank()) == (4, 2)


def test_seeds_repeat_a_net(deploy: str) -> None:
    nets = []
    for _ in range(2):
        caffe.set_random_seed(1701)
        nets.append(caffe.Net(deploy, caffe.TRAIN))
    assert np.array_equal(*(net.params["conv1"][0].data for net in nets))


def test_the_log_is_shown_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("minicaffe")
    former = logger.handlers[:], logger.level, logger.propagate
    try:
        caffe.init_log(1)
        caffe.log("hidden")
        caffe.init_log()
        caffe.log("shown")
    finally:
        logger.handlers, logger.propagate = former[0], former[2]
        logger.setLevel(former[1])
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("I")
    assert lines[0].endswith("] shown")
    assert Path(__file__).name in lines[0]


def test_a_timer_counts_milliseconds() -> None:
    timer = caffe.Timer()
    timer.start()
    timer.stop()
    assert 0 <= timer.ms < 10_000


def test_errors_have_one_root(deploy: str) -> None:
    with pytest.raises(Error, match=r"nowhere\.prototxt"):
        caffe.Net("nowhere.prototxt", caffe.TEST)
    with pytest.raises(Error, match=r"nowhere\.caffemodel"):
        caffe.Net(deploy, "nowhere.caffemodel", caffe.TEST)
