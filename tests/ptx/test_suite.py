"""Right kernels give what NumPy gives, and nothing is said against them."""

from typing import Any

import numpy as np
import pytest

from tests.ptx.compile_texts import TEXTS
from tests.ptx.launching import Bench
from tests.ptx.suite import CASES


@pytest.mark.parametrize("source", ["kept", "compiled now"])
@pytest.mark.parametrize("name", CASES)
def test_a_kernel(name: str, source: str) -> None:
    case = CASES[name]
    if source == "kept":
        text = (TEXTS / f"{name}.ptx").read_text(encoding="utf-8")
    else:
        from minicaffe.kernels.cuda._compile.ptx import versions

        if versions() is None:
            pytest.skip("there is no compiler for CUDA kernels: pip install 'minicaffe[cuda-emu]'")
        text = case.kernel.ptx(*case.types)
    arguments = case.arguments()
    want = case.expected(*arguments)
    flat: list[Any] = []
    for each in arguments:
        flat += [each, *each.shape] if isinstance(each, np.ndarray) else [each]
    Bench(text).run(*flat, grid=case.grid, block=case.block, shared=case.shared)
    arrays = [each for each in arguments if isinstance(each, np.ndarray)]
    for got, expected in zip(arrays[-len(want) :], want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=case.tolerance)
