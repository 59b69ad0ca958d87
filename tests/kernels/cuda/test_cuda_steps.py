"""The steps of docs/cuda_product.md: NumPy's numbers, and the counts that the page gives."""

import re
from pathlib import Path

import pytest

from examples.kernels import cuda_program
from examples.kernels.cuda_product import STEPS, CudaStep
from examples.kernels.steps import Wrong

COUNTED = ("shared reads", "bytes", "sectors", "ideal", "passes")  # by memory, not by the compiler


@pytest.mark.parametrize("size", [64, 192])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_gives_numpys_numbers(cuda: str, step: CudaStep, size: int) -> None:
    cuda_program.check(step, size)


def test_a_step_with_wrong_numbers_is_found(cuda: str) -> None:
    with pytest.raises(Wrong, match="made up: wrong numbers"):
        cuda_program.check(CudaStep("made up", lambda a, b, c: None), 64)


@pytest.mark.usefixtures("emulated", "compiler")
def test_the_counts_are_those_of_the_page(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINICAFFE_CUDA", "emulate")
    assert cuda_program.main([]) == 0
    page = (checkout / "docs/cuda_product.md").read_text(encoding="utf-8")
    for printed in capsys.readouterr().out.splitlines()[1:-1]:
        name, row = printed[:26].strip(), printed[26:]
        found = [row[at : at + 14].strip() for at in range(0, len(row), 14)]
        line = re.search(rf"^\| {re.escape(name)} \|(.*)\|$", page, re.MULTILINE)
        assert line, f"the page has no row for '{name}'"
        told = [cell.strip() for cell in line[1].split("|")]
        for column in COUNTED:
            at = cuda_program.COLUMNS.index(column)
            assert found[at] == told[at], f"{name}: {column}"


def test_a_step_says_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda_program.main(["--list"]) == 0
    printed = capsys.readouterr().out
    for step in STEPS:
        assert step.name in printed and len(step.text.split("\n")[0]) > 20


def test_what_cannot_be_counted_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cuda_program.main(["--size", "100"])
    assert "--size 100: a multiple of 64 is expected" in capsys.readouterr().err
