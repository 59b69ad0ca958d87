"""Each planted fault is found and named; the same kernel without it runs, and nothing is said."""

from typing import Any

import numpy as np
import pytest

from minicaffe.ptx import EmulatorFault
from tests.ptx.compile_texts import TEXTS
from tests.ptx.faulty import FAULTS
from tests.ptx.launching import Bench

BUDGET = 20_000
pytestmark = pytest.mark.parametrize("name", FAULTS)


def launch(name: str, text: str) -> tuple[Any, ...]:
    fault = FAULTS[name]
    arguments = fault.arguments()
    flat: list[Any] = []
    for each in arguments:
        flat += [each, *each.shape] if isinstance(each, np.ndarray) else [each]
    Bench(text).run(*flat, grid=fault.grid, block=fault.block, budget=BUDGET)
    return arguments


def kept(name: str) -> str:
    return (TEXTS / f"{name}.ptx").read_text(encoding="utf-8")


def test_a_fault_is_found(name: str) -> None:
    with pytest.raises(EmulatorFault) as caught:
        launch(name, kept(name))
    fault = caught.value
    assert fault.kind == FAULTS[name].kind
    assert fault.file == "tests/ptx/faulty.py" and fault.line
    assert fault.block is not None and fault.thread is not None
    assert str(fault).startswith(f"tests/ptx/faulty.py:{fault.line}, kernel {name}: {fault.kind}")


def test_the_line_is_that_of_the_kernel(name: str) -> None:
    with pytest.raises(EmulatorFault) as caught:
        launch(name, kept(name))
    code = FAULTS[name].make(False).body.__code__
    lines = {line for _, _, line in code.co_lines() if line}
    assert caught.value.line in lines


def test_the_mended_kernel_runs(name: str) -> None:
    launch(name, kept(f"{name}_mended"))


def test_it_is_found_in_what_the_compiler_makes_now(name: str) -> None:
    from minicaffe.kernels.cuda._compile.ptx import versions

    if versions() is None:
        pytest.skip("there is no compiler for CUDA kernels: pip install 'minicaffe[cuda-emu]'")
    fault = FAULTS[name]
    with pytest.raises(EmulatorFault) as caught:
        launch(name, fault.make(False).ptx(*fault.types))
    assert caught.value.kind == fault.kind
    launch(name, fault.make(True).ptx(*fault.types))
