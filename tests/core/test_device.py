"""Devices: what the core expects of one, and what happens where one lacks something."""

import ast
import inspect
import logging
import os
import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe import device as devices
from minicaffe.blob import SyncedArray
from minicaffe.cli import main
from minicaffe.cli._net_flags import choose_device
from minicaffe.cli._warm_up_jobs import lenet
from minicaffe.device import available, known_families, load_kernel, missing_families, place
from minicaffe.errors import DeviceError
from minicaffe.layer import known_types, layer_class
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver
from tests import strange_device
from tests.conftest import CHECKOUT, DEVICES, HOST_DEVICES
from tests.small_nets import backward, forward, small_net

APART = strange_device.FOLDER
TWO_LAYERS = """
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h"
            inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
    layer { name: "bend" type: "ReLU" bottom: "h" top: "h" }
    layer { name: "turn" type: "TanH" bottom: "h" top: "y" }
"""


# --- what a device has --------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_a_family_has_the_functions_of_reference(device: str) -> None:
    for family in sorted(known_families(device) & known_families("reference")):
        module, mine = load_kernel(family, "reference"), vars(load_kernel(family, device))
        public = [name for name, value in vars(module).items()
                  if name[0] != "_" and inspect.isfunction(value)]  # fmt: skip
        own = [name for name in public if vars(module)[name].__module__ == module.__name__]
        assert own and {*own} <= mine.keys(), family


@pytest.mark.parametrize("device", [name for name in DEVICES if name not in HOST_DEVICES])
def test_memory_of_a_device(device: str) -> None:
    memory: Any = load_kernel("memory", device)
    assert available(device) == (True, "")
    array, back = memory.allocate(6, device), np.full(6, 7, np.float32)
    memory.download(array, back)
    assert not back.any()
    memory.upload(np.arange(6, dtype=np.float32), array)
    memory.fill(array[2:4].reshape(1, 2), 9)
    devices.synchronize(device)
    memory.download(array, back)
    assert back.tolist() == [0, 1, 9, 9, 4, 5]
    assert (array[1:].shape, array.size, array.view("int32").shape) == ((5,), 6, (6,))


def test_a_value_in_all_of_an_array(device: str) -> None:
    whole, part = SyncedArray((4,)), SyncedArray((2,))
    whole[...] = [1, 2, 3, 4]
    part.move_into(whole.storage, 2)
    part.overwrite(device, 7)
    assert whole.read("cpu").tolist() == [1, 2, 7, 7]


def test_the_host_cannot_touch_an_array_of_the_strange_device() -> None:
    array = SyncedArray((2, 3)).read(APART)
    for touch in (
        lambda: np.asarray(array), lambda: array + 1, lambda: np.exp(array), lambda: list(array),
        lambda: array[0, 0], lambda: float(array), lambda: memoryview(array),
        lambda: np.zeros((2, 3)).__setitem__(..., array),
        lambda: array.__setitem__(0, 1), lambda: array[[1, 0]],
    ):  # fmt: skip
        with pytest.raises((TypeError, AttributeError)):
            touch()
    with pytest.raises(TypeError, match=r"copy.copy: an array of the host"):
        load_kernel("copy", APART).copy(np.zeros((2, 3), np.float32), array)


# --- what a layer says --------------------------------------------------------------------------


@pytest.mark.parametrize("layer_type", sorted(known_types()))
def test_a_layer_names_the_families_it_asks_for(layer_type: str) -> None:
    """In its file and in those of the classes it is made of; and no layer has another door."""
    found = layer_class(layer_type)
    sources = {inspect.getsourcefile(each) for each in found.__mro__ if "layers" in each.__module__}
    for path in filter(None, sources):
        text = Path(path).read_text(encoding="utf-8")
        asked = set(re.findall(r'ops_of\(\s*"(\w+)"', text))
        assert asked <= {*found.kernels}, path
        assert "load_kernel" not in {getattr(each, "id", "") for each in ast.walk(ast.parse(text))}
    assert not missing_families("reference", found.kernels)
    assert not missing_families("cpu", found.kernels)


# --- transfers ----------------------------------------------------------------------------------


@pytest.fixture
def transfers() -> Iterator[list[tuple[str, int]]]:
    strange_device.transfers.clear()
    yield strange_device.transfers
    strange_device.transfers.clear()


def lenet_solver(device: str, **more: Any) -> Solver:
    param = pb.SolverParameter(base_lr=0.01, lr_policy="fixed", momentum=0.9, weight_decay=0.001,
                               random_seed=3, max_iter=10**6, **more)  # fmt: skip
    param.net_param.CopyFrom(lenet(4))
    solver = create_solver(param, device=device)
    feed(solver)
    return solver


def feed(solver: Solver) -> None:
    """A batch in the net's inputs."""
    random = np.random.default_rng(solver.iter)
    x, label = solver.net.input_blobs
    x.data[...] = random.random(x.shape, np.float32)
    label.data[...] = random.integers(0, 10, label.shape)


def test_an_iteration_moves_the_batch_in_and_the_loss_out(
    transfers: list[tuple[str, int]],
) -> None:
    solver = lenet_solver(APART)
    solver.step(1)
    feed(solver)
    transfers.clear()
    solver.step(1)
    x, label = solver.net.input_blobs
    # up: images, labels; down: the bad label with the divisor, and the loss
    assert transfers == [("up", x.count()), ("up", label.count()), ("down", 2), ("down", 1)]


def test_training_gives_the_bits_of_the_kernels_below() -> None:
    below, above = lenet_solver("reference"), lenet_solver(APART)
    for solver in (below, above):
        for _ in range(3):
            feed(solver)
            solver.step(1)
    for array, other in zip(
        (below.net.flat_params.data, *below.history),
        (above.net.flat_params.data, *above.history),
        strict=True,
    ):
        np.testing.assert_array_equal(array.read("cpu"), other.read("cpu"))


def test_clocks_wait_for_the_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    solver = lenet_solver(APART)
    strange_device.waits.clear()
    solver.step(1)
    assert strange_device.waits == [APART]
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }'
    )
    strange_device.waits.clear()
    path = str(tmp_path / "net.prototxt")
    assert main(["time", "-model", path, "-iterations", "1", "-device", APART]) == 0
    assert len(strange_device.waits) == 2 + 4 * 2  # around the iteration, and each pass of a layer
    assert "Average Forward pass" in capsys.readouterr().err


# --- a device that lacks something --------------------------------------------------------------


@pytest.fixture
def partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes devices without some families: `partial("lame", "relu", "norm")`."""
    path = minicaffe.kernels.__path__  # type: ignore[attr-defined]
    monkeypatch.setattr(minicaffe.kernels, "__path__", [*path])  # type: ignore[attr-defined]

    def make(name: str, *without: str) -> str:
        strange_device.enter(strange_device.write_folder(tmp_path / name, name, without))
        made.append(f"minicaffe.kernels.{name}")
        return name

    made: list[str] = []
    yield make
    for name in [*sys.modules]:
        if name.startswith(tuple(made)):
            del sys.modules[name]
    for cached in (known_families, load_kernel, place):
        cached.cache_clear()


def test_layers_without_a_kernel_run_on_the_cpu_and_one_line_says_so(
    partial: Any, caplog: pytest.LogCaptureFixture
) -> None:
    partial("lame", "relu", "copy")
    x, dy = np.random.default_rng(5).standard_normal((2, 3, 4), np.float32)
    results = []
    for device in ("reference", "lame"):
        minicaffe.set_random_seed(2)
        with caplog.at_level(logging.WARNING):
            net = small_net(TWO_LAYERS, device, {"x": x})
        results.append((forward(net), backward(net, y=dy), net.flat_params.diff.read("cpu")))
    assert [layer.device for layer in net.layers] == ["lame", "lame", "cpu", "cpu"]
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    assert caplog.messages == ["On the CPU, for want of kernels for lame: bend (relu), turn (copy)"]


@pytest.mark.parametrize("family", ["norm", "update"])
def test_a_solver_without_a_kernel_updates_on_the_cpu_and_one_line_says_so(
    partial: Any, caplog: pytest.LogCaptureFixture, family: str
) -> None:
    partial(f"lame_{family}", family)
    weights = []
    for device in ("reference", f"lame_{family}"):
        with caplog.at_level(logging.WARNING):
            solver = lenet_solver(device, clip_gradients=0.5)
        for _ in range(2):
            feed(solver)
            solver.step(1)
        weights.append(solver.net.flat_params.data.read("cpu"))
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)
    assert [line for line in caplog.messages if "want" in line] == [
        f"The solver updates on the CPU, for want of kernels for lame_{family}: {family}"
    ]


# --- a device that cannot be used here ----------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(
        load_kernel("memory", APART), "available", lambda device: (False, "no card")
    )
    return APART


def test_a_device_that_cannot_be_used_is_refused_in_one_sentence(
    broken: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert available(f"{broken}:1") == (False, "device 'apart:1' cannot be used here: no card")
    with pytest.raises(DeviceError, match=r"^device 'apart' cannot be used here: no card$"):
        minicaffe.use_device(broken)
    (tmp_path / "net.prototxt").write_text("")
    assert main(["time", "-model", str(tmp_path / "net.prototxt"), "-device", broken]) != 0
    assert "device 'apart' cannot be used here: no card" in capsys.readouterr().err
    assert main(["device_query"]) == 0
    assert " families; device 'apart' cannot be used here: no card\n" in capsys.readouterr().out


def test_a_card_that_cannot_be_used(
    partial: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error where one is asked for, a warning where a solver would have it."""
    if "cuda" not in devices.known_devices():
        partial("cuda")
    memory = load_kernel("memory", "cuda:2")
    monkeypatch.setattr(memory, "available", lambda device: (False, "no card"))
    with pytest.raises(DeviceError, match=r"^set_mode_gpu: device 'cuda' cannot be used here: no"):
        minicaffe.set_mode_gpu()
    with pytest.raises(DeviceError, match=r"^device 'cuda:1' cannot be used here: no card$"):
        choose_device(Namespace(device="", gpu="1"), solver_gpu=2)
    with caplog.at_level(logging.WARNING):
        assert choose_device(Namespace(device="", gpu=""), solver_gpu=2) == "cpu"
    assert caplog.messages == ["The solver asks for GPU 2; there is none here."]


# --- the door -----------------------------------------------------------------------------------

PROGRAM = """
import minicaffe
from minicaffe.device import known_devices
minicaffe.use_device("apart")
net = minicaffe.Net("net.prototxt", minicaffe.TEST)
net.blobs["x"].data[...] = [-1, 2]
print(known_devices(), net.layers[1].device, net.forward()["y"])
"""


def test_a_device_enters_by_minicaffe_path(tmp_path: Path) -> None:
    strange_device.write_folder(tmp_path / "lab")
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }'
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "MINICAFFE_PATH": str(tmp_path / "lab")},
    )  # fmt: skip
    assert done.stdout == "['apart', 'cpu', 'cuda', 'reference'] apart [0. 2.]\n", done.stderr
