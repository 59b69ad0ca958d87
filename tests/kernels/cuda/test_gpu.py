"""Where there is a GPU: how far its numbers are from the emulator's, in units in the last place."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.kernels.cuda import _backend
from tests.kernels.cuda.case import Case, all_cases, arrays, copies, made, upload

MOST = 2  # units: kernels are arithmetic, which both round alike; fusing multiplications differs


def left_by(family: str, case: Case, backend: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All arrays after a call that some backend runs."""
    with monkeypatch.context() as patch:
        patch.setattr(_backend, "_of_card", cache(lambda card: backend))
        args, moved = copies(case.args), {}  # type: Any, dict[int, Any]
        module = load_kernel(family, "cuda")
        getattr(module, case.function)(*upload(made(args, module), "cuda", moved))
        for array in arrays(args):
            load_kernel("memory", "cuda").download(moved[id(array)], array)
    return list(arrays(args))


def units(a: Any, b: Any) -> int:
    """The greatest distance of two arrays, in units in the last place; NaN is NaN."""
    if a.dtype != np.float32:
        return int(np.abs(a.astype(np.int64) - b).max(initial=0))
    both_nan = np.isnan(a) & np.isnan(b)
    bits = [x.view(np.int32).astype(np.int64) for x in (a, b)]
    ordered = [np.where(x < 0, -(2**31) - x, x) for x in bits]
    return int(np.where(both_nan, 0, np.abs(ordered[0] - ordered[1])).max(initial=0))


@pytest.fixture(scope="module")
def backends() -> tuple[Any, Any]:
    gpu = pytest.importorskip("minicaffe.kernels.cuda._backend.gpu")
    if not gpu.count():
        pytest.skip("there is no NVIDIA GPU with a driver")
    from minicaffe.kernels.cuda._backend.emulator import Emulator

    return gpu.Gpu(0), Emulator("jit", 0)


@pytest.mark.parametrize(("family", "case"), [*all_cases()])
def test_a_gpu_and_the_emulator_agree(
    backends: tuple[Any, Any], family: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [left_by(family, case, backend, monkeypatch) for backend in backends]
    apart = max((units(a, b) for a, b in zip(*results, strict=True)), default=0)
    print(f"{family}.{case}: {apart} units in the last place")
    assert apart <= MOST
