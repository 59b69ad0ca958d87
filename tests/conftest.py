"""What every test can ask for, and the environment they all run in."""

import os
import sys

# Before NumPy, Numba or a JVM is loaded: several test processes share the machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # what a test may ask for
os.environ.setdefault("MINICAFFE_NUM_THREADS", "1")  # what it gets: each core has a test process
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("MPLBACKEND", "Agg")

from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe.device import available as is_available
from tests import strange_device

if not is_available("cuda")[0]:
    os.environ.setdefault("MINICAFFE_CUDA", "jit")  # no GPU: kernels of `cuda` run on the processor

CHECKOUT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MINICAFFE_SHARED") or CHECKOUT.parent / "shared")
HOST_DEVICES = ("reference", "cpu")
DEVICES = (*HOST_DEVICES, strange_device.FOLDER, *strange_device.others(HOST_DEVICES))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of goldens and data sets beside the checkout (or MINICAFFE_SHARED)."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder of goldens and data sets at {SHARED} (set MINICAFFE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def goldens(shared: Path) -> Path:
    """Inputs and outputs of the real Caffe."""
    return shared / "goldens"


@pytest.fixture(scope="session", autouse=True)
def _strange_device(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The device `apart`, in a folder of its own."""
    strange_device.enter(strange_device.write_folder(tmp_path_factory.mktemp("devices")))


@pytest.fixture(autouse=True)
def _small_arrays_go_to_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sees on several threads, it sees on small arrays."""
    jit = sys.modules.get("minicaffe.kernels.cpu._compile.jit")
    if jit is not None:
        monkeypatch.setattr(jit, "SHORT", 0)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Each device of this machine, and one whose arrays the host cannot touch."""
    return str(request.param)


@pytest.fixture(autouse=True)
def fresh_context() -> Iterator[None]:
    """Every test starts from an unseeded generator, rank 0 of 1, and the default device."""
    from minicaffe import context

    with context.fresh():
        yield
