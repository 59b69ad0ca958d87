"""Stepping through a kernel by instruction, line and barrier, with commands from a list."""

import numpy as np
import pytest

from minicaffe.ptx.checked import watching
from minicaffe.ptx.step import Left, Stepper
from tests.ptx.compile_texts import TEXTS
from tests.ptx.launching import Bench

TEXT = (TEXTS / "missing_barrier_mended.ptx").read_text(encoding="utf-8")


def steps(*commands: str, thread: int = 0, block: int = 0) -> list[str]:
    """What is shown for some commands; then the kernel runs to its end."""
    waiting, shown = list(commands), []

    def ask(_: str) -> str:
        if not waiting:
            raise EOFError
        return waiting.pop(0)

    stepper = Stepper(block, thread, ask=ask, show=shown.append)
    x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    with watching(stepper.begin):
        Bench(TEXT).run(x, x.size, y, y.size, block=64)
    assert y.tolist() == x[::-1].tolist()
    return [line for text in shown for line in text.splitlines()]


def test_an_instruction_shows_its_line_its_lanes_and_what_it_wrote() -> None:
    shown = steps("i")
    assert shown[0] == "kernel missing_barrier, grid (1, 1, 1), block (64, 1, 1)"
    assert shown[1].startswith("tests/ptx/faulty.py:") and "def missing_barrier(" in shown[1]
    assert shown[2].startswith(f"    {'#' * 32}  ld.param.u64 ") and " = 0x" in shown[2]
    assert len(shown) == 4 and "ld.param" in shown[3]


def test_by_lines_and_by_barriers() -> None:
    lines = [line for line in steps(*["l"] * 9) if line.startswith("tests/")]
    sources = [line.partition(" | ")[2].strip() for line in lines]
    assert sources[1:5] == ["t = threadIdx.x", "s[t] = x[t]", "syncthreads()", "y[t] = s[63 - t]"]
    stopped = steps("b")
    assert "bar.sync" in stopped[-1] and len(stopped) == 5


def test_registers_and_another_thread() -> None:
    shown = steps("l", "l", "r %r1", "t 40", "r", "t 99", "what", "5")
    assert any(line.split() == [*map(str, range(32))] for line in shown)
    assert "    %r1 = 40" in shown
    assert "a block has 64 threads" in shown
    assert sum(line.startswith("i [N]: instructions") for line in shown) == 2


def test_an_empty_line_repeats() -> None:
    def instructions(*commands: str) -> list[str]:
        return [line.partition(" = ")[0] for line in steps(*commands)]

    assert instructions("i", "", "") == instructions("i", "i", "i")
    assert instructions("i 3")[-1] == instructions("i", "i", "i")[-1]


def test_leaving() -> None:
    with pytest.raises(Left):
        steps("q")
