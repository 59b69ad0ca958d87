"""Where there is no compiler the emulators run the texts that the package has."""

from functools import cache
from pathlib import Path

import pytest

from minicaffe.device import available
from minicaffe.errors import MissingExtra
from minicaffe.kernels.cuda import _backend, _missing
from minicaffe.kernels.cuda._backend.emulator import Emulator
from minicaffe.kernels.cuda._compile import ptx
from tests.kernels.cuda.case import cases_of, compare
from tests.kernels.cuda.ship import ship


@pytest.fixture
def without_compiler(compiler: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has the texts of ReLU and of the updates, and no compiler."""
    for module in (ptx, _missing):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "_ptx")
    monkeypatch.setenv("MINICAFFE_CUDA", "emulate")
    assert ship(["relu", "update"]) > 2
    for module in (ptx, _missing):
        monkeypatch.setattr(module, "versions", lambda: None)
    _missing.missing.cache_clear()
    emulator = Emulator("emulate", 0)
    monkeypatch.setattr(_backend, "_of_card", cache(lambda card: emulator))


@pytest.mark.parametrize("family", ["relu", "update"])
def test_the_emulator_runs_shipped_texts(without_compiler: None, family: str) -> None:
    assert available("cuda") == (True, "")
    for case in cases_of(family):
        compare(family, case, "cuda")


def test_a_kernel_that_was_not_shipped(without_compiler: None) -> None:
    with pytest.raises(MissingExtra, match=r"kernel threshold._forward needs numba-cuda: pip inst"):
        compare("threshold", cases_of("threshold")[0], "cuda")
