"""Installed in every way, the rooms are found under minicaffe and nowhere else."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

# Runs in a folder of its own, with nothing of the checkout in sight.
PROBE = """
import sys
import minicaffe, minicaffe.layer, minicaffe.device, minicaffe.distributed
from minicaffe.proto import minicaffe_pb2 as pb
assert "ReLU" in minicaffe.layer.layer_type_list()
assert {"cpu", "reference"} <= set(minicaffe.device.known_devices())
from minicaffe.device import load_kernel
import numpy as np
x, y = np.array([-1, 2], np.float32), np.zeros(2, np.float32)
load_kernel("relu", "reference").forward(x, y, 0.0)
load_kernel("relu", "cpu").forward(x, y, 0.0)
assert y.tolist() == [0, 2]
from minicaffe.cli._warm_up_jobs import lenet
if not minicaffe.__file__.split(".zip")[1:]:  # nobody warms up from an archive
    assert lenet().layer[1].name == "conv1"
for bare in ("layers", "kernels", "distributed"):
    try:
        __import__(bare)
    except ImportError:
        continue
    raise AssertionError(bare + " is importable by its bare name")
import com.yahoo.ml.caffe.RegisterContext
from com.yahoo.ml.caffe.Config import Config
assert Config(None, ["-train"]).isTraining
print(minicaffe.__file__)
"""


def run(*words: str, cwd: Path, **environment: str) -> str:
    """Run a command; its output."""
    done = subprocess.run(
        words,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def pip(*words: str, cwd: Path) -> None:
    """pip without an index: everything that a build needs is here."""
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    command, *rest = words
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", command, *flags, *rest, cwd=cwd)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows or would know, so that builds leave the checkout alone."""
    folder = tmp_path_factory.mktemp("source") / "minicaffe"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file() and not name.endswith(".gz"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((CHECKOUT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--wheel-dir", str(folder), str(source), cwd=folder)
    return next(folder.glob("*.whl"))


pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("packaging")]


def test_the_wheel_holds_the_rooms_and_the_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        name.split("/")[0] for name in names if not re.match(r"[^/]+\.(dist-info|data)/", name)
    } == {"minicaffe", "com"}
    for name in (
        "layers/relu.py",
        "kernels/cpu/relu.py",
        "kernels/reference/relu.py",
        "distributed/ring.py",
        "distributed/transport/tcp.py",
        "proto/minicaffe.proto",
        "proto/minicaffe_pb2.py",
        "proto/minicaffe_pb2.pyi",
        "cli/train.py",
        "cli/convert/mnist.py",
        "examples/mnist/lenet_train_test.prototxt",
        "examples/cifar10/cifar10_quick_train_test.prototxt",
        "inspection/templates/page.html",
        "labs/ring/lab.toml",
        "labs/ring/README.md",
        "labs/ring/tests/test_round.py",
        "labs/ring/solution/distributed/transport/mine.py",
        "labs/numpy/nets/lenet.prototxt",
        "py.typed",
    ):
        assert f"minicaffe/{name}" in names
    assert any(name.endswith("entry_points.txt") for name in names)
    assert not any("__pycache__" in name for name in names)
    examples = [name for name in names if name.startswith("minicaffe/examples/")]
    assert all(name.endswith(".prototxt") for name in examples)


def test_installed_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--target", str(tmp_path / "site"), str(wheel), cwd=tmp_path)
    place = run(sys.executable, "-c", PROBE, cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert place.startswith(str(tmp_path / "site"))
    command = tmp_path / "site" / "bin" / "minicaffe"
    said = run(str(command), "--version", cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert said.startswith("minicaffe ")


def test_the_wheel_renamed_to_zip(wheel: Path, tmp_path: Path) -> None:
    archive = tmp_path / "minicaffe.zip"
    archive.write_bytes(wheel.read_bytes())
    place = run(sys.executable, "-c", PROBE, cwd=tmp_path, PYTHONPATH=str(archive))
    assert place.startswith(str(archive))


def test_installed_editable(source: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip("install", "--target", str(site), "--editable", str(source), cwd=tmp_path)
    installed = sysconfig.get_path("purelib")  # behind: the checkout may be installed there as well
    code = f"import site; [site.addsitedir(each) for each in ({str(site)!r}, {installed!r})]\n"
    assert run(sys.executable, "-S", "-c", code + PROBE, cwd=tmp_path).startswith(str(source))


def test_from_the_checkout(tmp_path: Path) -> None:
    code = PROBE.split("for bare in")[0] + PROBE[PROBE.index("import com.") :]
    run(sys.executable, "-B", "-c", code, cwd=CHECKOUT, HOME=str(tmp_path))
