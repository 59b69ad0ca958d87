"""The ways in which an attempt at a lab can end are told apart, in every lab that is there."""

import ast
from pathlib import Path

import pytest

from minicaffe.labs import course
from minicaffe.labs.release import functions_of
from tests.labs.attempts import with_body, workplace

QUICK = ("ring", "numpy")
LABS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in course.lab_names()
]


def endless(text: str, function: str) -> str:
    """A body that does not end; of a kernel for the processor it is a loop of its parts."""
    decorators = map(ast.unparse, functions_of(text)[function].decorator_list)
    if "kernel" in decorators and "prange" in text:
        return "for part in prange(1):\n    while True:\n        pass"
    return "while True:\n    pass"


@pytest.mark.parametrize("name", LABS)
def test_the_ways_in_which_an_attempt_ends(name: str, tmp_path: Path) -> None:
    lab = course.load(name)
    if lab.missing():
        pytest.skip(lab.missing())
    written = [task for task in lab.tasks if task.write and not task.speed]
    if not written:
        pytest.skip("nothing is to be written in Python in this lab")
    task = written[0]
    right = lab.reference_text(task)
    function = task.write[0]
    stub = (
        f"raise NotImplementedError('lab {name}, task {task.name}: {function} is yours to write')"
    )
    texts = {
        "right": right,
        "blank": with_body(lab, task, function, stub),
        "wrong": with_body(lab, task, function, "return None"),
        "endless": with_body(lab, task, function, endless(right, function)),
        "unreadable": right + "\ndef (",
        "forbidden": right + "\nimport socketserver\n",
        "missing": right.replace(f"def {function.rpartition('.')[2]}(", "def another_name("),
    }
    if "numpy" in lab.allow and not task.file.startswith(("kernels/cpu", "kernels/cuda")):
        crash = "import numpy\nnumpy.ctypeslib.ctypes.string_at(0)"
        texts["crashed"] = with_body(lab, task, function, crash)
    with workplace(lab, tmp_path) as place:
        results = {
            kind: place.check(task, text, seconds=4 if kind == "endless" else 0)
            for kind, text in texts.items()
        }
    assert {kind: result.kind for kind, result in results.items()} == {kind: kind for kind in texts}
    sentences = [result.sentence for kind, result in results.items() if kind != "right"]
    assert len(set(sentences)) == len(sentences) and all(sentences)
    assert not any("\n" in said or "Traceback" in said for said in sentences)
    assert results["right"].points == task.points and not results["right"].sentence
    assert all(result.points < task.points for kind, result in results.items() if kind != "right")
