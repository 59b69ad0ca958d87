"""The examples are nets and solvers that work, and the demo does what it says."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minicaffe.data.database import create_database
from minicaffe.net.net import Net
from minicaffe.net.weights import save_weights
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net, read_solver
from tests.conftest import CHECKOUT

EXAMPLES = sorted(
    path for path in (CHECKOUT / "examples").rglob("*.prototxt") if "out" not in path.parts
)
SOLVERS = [path for path in EXAMPLES if "solver" in path.name]
NETS = [path for path in EXAMPLES if "solver" not in path.name and path.parent.name != "captions"]
MNIST = CHECKOUT / "examples" / "mnist"


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", SOLVERS, ids=name_of)
def test_solvers_name_nets_that_are_there(path: Path) -> None:
    solver = read_solver(path)
    assert (CHECKOUT / solver.net).is_file()
    assert solver.solver_mode == pb.SolverParameter.CPU


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny databases where the examples' nets look for theirs; the current folder."""
    for folder, channels, size in (("mnist", 1, 28), ("cifar10", 3, 32)):
        datum = pb.Datum(channels=channels, height=size, width=size, label=1)
        for part in ("train", "test"):
            path = tmp_path / "examples" / folder / f"{folder}_{part}_lmdb"
            path.parent.mkdir(parents=True, exist_ok=True)
            with create_database(path) as records:
                for index in range(100):
                    datum.data = bytes([index]) * (channels * size * size)
                    records.put(b"%08d" % index, datum.SerializeToString())
    mean = pb.BlobProto(num=1, channels=3, height=32, width=32, data=[120.0] * 3072)
    (tmp_path / "examples/cifar10/mean.binaryproto").write_bytes(mean.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", NETS, ids=name_of)
def test_nets_run(path: Path, databases: Path) -> None:
    for phase in (pb.TRAIN, pb.TEST):
        net = Net(read_net(path), phase, device="reference")
        net.forward_pass()
        tops = net.output_names
        net.close()
        if "test" not in path.stem:
            assert tops == ["prob"]
        else:
            assert tops == (["loss"] if phase == pb.TRAIN else ["accuracy", "loss"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mnist/lenet", "mnist/lenet_memory"),
        ("cifar10/cifar10_quick", "cifar10/cifar10_quick_memory"),
    ],
)
def test_the_nets_for_spark_are_the_same_nets(one: str, other: str) -> None:
    def below_the_data(name: str) -> list[pb.LayerParameter]:
        net = read_net(CHECKOUT / "examples" / f"{name}_train_test.prototxt")
        return [layer for layer in net.layer if layer.type not in ("Data", "MemoryData")]

    assert below_the_data(one) == below_the_data(other)


# --- the demo -----------------------------------------------------------------------------------


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The demo as a module that writes into a temporary folder."""
    spec = importlib.util.spec_from_file_location("demo", MNIST / "demo.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUT", tmp_path)
    monkeypatch.chdir(CHECKOUT)
    return module


def test_the_demos_features_come_from_the_training_images(demo: ModuleType) -> None:
    path = demo.solver_on_training_images(MNIST / "lenet_demo_solver.prototxt")
    layers = read_net(read_solver(path).net).layer
    sources = [layer.memory_data_param.source for layer in layers if layer.type == "MemoryData"]
    assert sources == ["file:examples/mnist/mnist_train_lmdb"] * 2


def test_the_demos_pictures(demo: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    net = Net(read_net(MNIST / "lenet.prototxt"), pb.TEST, device="reference")
    net.layers[1].blobs[0].data[...] = np.random.default_rng(1).normal(size=(20, 1, 5, 5))
    save_weights(net, str(tmp_path / "lenet.caffemodel"))
    rows = [{"phase": "train", "iteration": i, "loss": 2.3 / (i + 1)} for i in range(0, 100, 20)]
    demo.draw([*rows, {"phase": "test", "iteration": 80, "accuracy": 0.9}])
    for name in ("loss.png", "filters.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.xdist_group("spark")
def test_the_whole_demo(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    shutil.copytree(
        MNIST, tmp_path / "examples/mnist", ignore=shutil.ignore_patterns("*_lmdb", "out")
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "examples/mnist/demo.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "== both reach 0.989" in done.stdout
    made = {path.name for path in (tmp_path / "examples/mnist/out").iterdir()}
    assert {"lenet.caffemodel", "lenet.metrics.csv", "loss.png", "filters.png"} <= made
