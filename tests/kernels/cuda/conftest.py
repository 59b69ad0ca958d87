"""The device `cuda`, or the line that installs what it needs."""

import importlib
from functools import cache

import pytest

from minicaffe.device import available


@pytest.fixture(scope="session")
def cuda() -> str:
    """The device's name; the test is skipped where nothing can run its kernels."""
    can, why = available("cuda")
    if not can:
        pytest.skip(why)
    return "cuda"


@pytest.fixture(scope="session")
def compiler() -> None:
    """The test is skipped where no kernel can be compiled."""
    from minicaffe.kernels.cuda._compile.ptx import versions

    if versions() is None:
        pytest.skip("there is no compiler for CUDA kernels: pip install 'minicaffe[cuda-emu]'")


@pytest.fixture
def emulated(cuda: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator that checks runs the kernels of the test, whatever runs those of the others.

    It takes a loop for endless after a hundredth of the usual number of instructions.
    """
    emulator = importlib.import_module("minicaffe.kernels.cuda._backend.emulator")
    backend = importlib.import_module("minicaffe.kernels.cuda._backend")
    backend_of = cache(lambda card: emulator.Emulator("emulate", card, 100_000))
    monkeypatch.setattr(backend, "_of_card", backend_of)
