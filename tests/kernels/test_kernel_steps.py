"""The steps of docs/kernels.md: each gives NumPy's numbers, and the program has a row for each."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import Plan
from examples.kernels import convolution, product, program, steps
from examples.kernels.steps import BOUND, Problem, Running, Step, Wrong
from minicaffe.machine.threads import num_threads, set_num_threads

SHAPE = (2, 5, 7, 9, 3)  # images, channels, outputs, places of a line, taps of a line
CASES = {"product": product.problem(37), "convolution": convolution.problem(SHAPE)}
STEPS = {
    "product": product.steps(threads=2),
    "convolution": convolution.steps(2, convolution.problem(convolution.SHAPE)),
}
PAIRS = [pytest.param(lesson, step, id=step.name) for lesson in STEPS for step in STEPS[lesson]]
IN_TINY = Plan(rounds=1, turn=1e-4, budget=0.1)


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = num_threads()
    yield
    set_num_threads(before)


@pytest.mark.parametrize(("lesson", "step"), PAIRS)
def test_a_step_gives_numpys_numbers(lesson: str, step: Step) -> None:
    running = Running(step, CASES[lesson])
    assert running.error() < BOUND
    first = running.output.copy()
    running.results()  # what a run left in the step's own memory does not matter
    np.testing.assert_array_equal(running.output, first)


@pytest.mark.parametrize("size", [product.LEAST, 40, 48])
@pytest.mark.parametrize("step", product.steps(threads=1)[1:], ids=lambda step: step.name)
def test_edges(step: Step, size: int) -> None:
    assert Running(step, product.problem(size)).error() < BOUND


@pytest.mark.parametrize(("lesson", "step"), PAIRS)
def test_a_step_says_what_is_new(lesson: str, step: Step) -> None:
    assert len(step.text.split("\n")[0]) > 20


def test_a_step_with_wrong_numbers_is_found() -> None:
    def wrong(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        c[...] = a

    case = Problem((np.eye(3, dtype=np.float32),) * 2, np.ones((3, 3), np.float32), 54)
    with pytest.raises(Wrong, match="made up: wrong numbers"):
        Running(Step("made up", wrong), case).error()


@pytest.mark.parametrize("lesson", STEPS)
def test_the_program_has_a_row_for_each_step(
    lesson: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(program, "PLAN", IN_TINY)
    monkeypatch.setattr(steps, "peak", lambda threads: 1e11 * threads)
    monkeypatch.setattr(convolution, "SHAPE", (1, 8, 8, 8, 3))
    options = ["--convolution", "--images", "1"] if lesson == "convolution" else ["--size", "32"]
    picture = tmp_path / "steps.png"
    assert program.main([*options, "--threads", "1", "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [step.name for step in STEPS[lesson] if step.threads == 1 and step.name != "Winograd"]
    for name in names:
        row = next(line for line in lines if line.startswith(f"{name}  "))
        assert re.search(r"[\d.]+ +[\d.e+]+ +[\d.]+%", row)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_steps_are_listed_and_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list", "--only", "i-k-j"]) == 0
    printed = capsys.readouterr().out
    assert "along lines, i-k-j" in printed and "BLAS" not in printed
    assert program.main(["--only", "no such step"]) == 2
    assert "--list" in capsys.readouterr().err


def test_sizes_that_no_step_can_do() -> None:
    with pytest.raises(SystemExit):
        program.main(["--size", "5"])


def test_it_runs_as_a_program_without_compiling(checkout: Path) -> None:
    """What the page says about debuggers: all is plain Python."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.kernels", "--list", "--convolution"],
        cwd=checkout,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "implicit GEMM" in done.stdout


def test_the_page_names_what_there_is(checkout: Path) -> None:
    page = (checkout / "docs" / "kernels.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", page):
        assert (checkout / "docs" / target).exists(), target
    known = set(re.findall(r"--[a-z]+", (checkout / "examples/kernels/program.py").read_text()))
    commands = re.findall(r"python -m examples\.kernels(.*)", page)
    assert commands
    for command in commands:
        assert set(re.findall(r"--[a-z]+", command)) <= known | {"--help"}
    for lesson in STEPS.values():
        for step in lesson:
            if step.threads == 1:
                assert f"| {step.name} |" in page
