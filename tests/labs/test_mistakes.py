"""What a student gets wrong ends in one sentence, of the right kind, with the place in his file."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe.labs import course
from tests.labs.attempts import Workplace, with_body, workplace

RELU = "kernels/reference/relu.py"


@pytest.fixture(scope="module")
def numpy_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplace(course.load("numpy"), tmp_path_factory.mktemp("numpy")) as place:
        yield place


# The body of relu's forward, the kind, and what the sentence says.
BODIES = [
    ("y[...] = np.where(x > 0, x, np.float32(slope) * x)\nprint('seen', x.shape)", "right", "^$"),
    ("y[...] = (", "unreadable", rf"^{RELU}:\d+: SyntaxError: '\(' was never closed$"),
    ("y[...] = x\n  y += 1", "unreadable", rf"^{RELU}:\d+: IndentationError: "),
    ("y[...] = np.maximum(x, 0", "unreadable", rf"^{RELU}:\d+: SyntaxError: "),
    ("y[...] = np.maximun(x, 0)", "wrong",
     rf"^{RELU}:12, forward: AttributeError: module 'numpy' has no attribute 'maximun'"),
    ("y[...] = xx", "wrong", rf"^{RELU}:12, forward: NameError: name 'xx' is not defined$"),
    ("y = np.maximum(x, 0)", "wrong", r"^y\[0\]: yours nan, expected -0 .*is it written at all\?$"),
    ("return np.maximum(x, 0)", "wrong", "^forward returns something: it writes into y"),
    ("y[...] = np.maximum(x, 0)", "wrong", r"^y\[0\]: yours 0, expected -0\.2 \(x = -2 .*2 of 5 "),
    ("y[...] = 2 * np.where(x > 0, x, slope * x)", "wrong", "yours is twice as large: is so"),
    ("y[...] = -np.where(x > 0, x, slope * x)", "wrong", "the sign is wrong$"),
    ("y[...] = np.zeros((7, 7))", "wrong",
     rf"^{RELU}:12, forward: ValueError: could not broadcast input array from shape \(7,7\)"),
    ("y[...] = x @ x.T @ x", "wrong", "^y|ValueError"),
    ("y[100] = 1", "wrong", rf"^{RELU}:12, forward: IndexError: index 100 is out of bounds"),
    ("1 / 0", "wrong", rf"^{RELU}:12, forward: ZeroDivisionError: division by zero$"),
    ("forward(x, y, slope)", "wrong", r"RecursionError: it calls itself without end$"),
    ("raise SystemExit(3)", "wrong",
     rf"^{RELU}:12, forward: the code ends the process \(sys.exit\): return instead$"),
    ("exit()", "wrong", rf"^{RELU}:12, forward: the code ends the process"),
    ("assert x.max() < 0", "wrong", rf"^{RELU}:12, forward: AssertionError: assert x.max\(\) < 0$"),
    ("raise ValueError('first\\nsecond')", "wrong", rf"^{RELU}:12, forward: ValueError: first$"),
    ("y[...] = np.zeros(10**15)", "wrong", rf"^{RELU}:12, forward: .*MemoryError: Unable to alloc"),
    ("raise NotImplementedError('lab numpy, task relu: forward is yours to write')", "blank",
     "^lab numpy, task relu: forward is yours to write$"),
    ("import scipy.special", "forbidden", rf"^{RELU}:12 imports scipy, which this lab does not "),
    ("from os import fork", "forbidden", rf"^{RELU}:12 imports os, which"),
    ("__import__('os').abort()", "forbidden", rf"^{RELU}:12 imports __import__, which"),
    ("from minicaffe.overlay import os\nos._exit(0)", "left",
     r"^the process ended in test_forward_by_hand\[0.0\] before its tests did: os._exit"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "said"), BODIES, ids=[body[0][:30] for body in BODIES])
def test_a_body_that_is_wrong(numpy_lab: Workplace, body: str, kind: str, said: str) -> None:
    task = numpy_lab.lab.task("relu")
    result = numpy_lab.check(task, with_body(numpy_lab.lab, task, "forward", body))
    assert (result.kind, bool(re.search(said, result.sentence))) == (kind, True), result.sentence
    assert "\n" not in result.sentence and "Traceback" not in result.sentence
    assert str(numpy_lab.folder) not in result.sentence
    assert (result.points == task.points) == (kind == "right")


RIGHT = course.load("numpy").reference_text(course.load("numpy").task("relu"))
FILES = [
    (RIGHT.replace("def backward", "def backwards"), "missing", "no function backward any more"),
    (RIGHT.replace("slope: float", "slope: float, more: int"), "wrong",
     r"TypeError: forward\(\) missing 1 required positional argument: 'more'"),
    (RIGHT + "\nraise SystemExit\n", "wrong", rf"^{RELU}:\d+: the code ends the process"),
    (RIGHT + "\nundefined\n", "wrong", rf"^{RELU}:\d+: NameError: name 'undefined' is not"),
    (RIGHT + "\nfrom minicaffe.nothing import x\n", "wrong",
     rf"^{RELU}:\d+: ModuleNotFoundError: No module named 'minicaffe.nothing'"),
    (RIGHT.encode() + b"\n# \xff\n", "unreadable", "it is no text of Python"),
    (RIGHT + "\0", "unreadable", f"{RELU}.*null bytes"),
    ("", "missing", "has no function forward any more"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "said"), FILES, ids=[str(file[2])[:30] for file in FILES])
def test_a_file_that_is_wrong(numpy_lab: Workplace, text: str, kind: str, said: str) -> None:
    result = numpy_lab.check(numpy_lab.lab.task("relu"), text)
    assert result.kind == kind and re.search(said, result.sentence), result.sentence
    assert result.points == 0 and "\n" not in result.sentence


def test_a_helper_that_was_deleted(numpy_lab: Workplace) -> None:
    task = numpy_lab.lab.task("pooling")
    text = numpy_lab.lab.reference_text(task).replace("def _windows", "def _window")
    said = numpy_lab.check(task, text).sentence
    assert re.search(r"pooling.py:\d+, max_forward: NameError: name '_windows' is not", said), said


@pytest.mark.parametrize("place", ["in a function", "in the file"])
def test_a_loop_without_end(numpy_lab: Workplace, place: str) -> None:
    task = numpy_lab.lab.task("relu")
    text = RIGHT + "\nwhile True:\n    pass\n"
    if place == "in a function":
        text = with_body(numpy_lab.lab, task, "forward", "while True:\n    pass")
    result = numpy_lab.check(task, text, seconds=3)
    assert result.kind == "endless" and result.points == 0
    assert re.fullmatch(
        rf"task 'relu' did not end within 3 s( in test_forward_by_hand\[0.0\])? at {RELU}:\d+: "
        "an endless loop\\? minicaffe lab debug relu",
        result.sentence,
    ), result.sentence


def test_a_crash_tells_its_signal_and_the_line(numpy_lab: Workplace) -> None:
    task = numpy_lab.lab.task("relu")
    body = "np.ctypeslib.ctypes.string_at(0)"
    result = numpy_lab.check(task, with_body(numpy_lab.lab, task, "forward", body))
    assert result.kind == "crashed"
    assert re.match(
        rf"the process died by SIGSEGV in test_forward_by_hand\[0.0\] at {RELU}:12: "
        "minicaffe lab debug relu",
        result.sentence,
    ), result.sentence


def test_the_points_are_the_share_of_the_tests(numpy_lab: Workplace) -> None:
    """And what the code printed is kept, for the student to see."""
    task = numpy_lab.lab.task("relu")
    result = numpy_lab.check(
        task, with_body(numpy_lab.lab, task, "backward", "print('x is', x)\ndx[...] = dy")
    )
    assert 0 < result.passed < result.total and result.kind == "wrong"
    assert result.points == round(task.points * result.passed / result.total, 1)
    assert "x is [-2" in result.printed


def test_nothing_that_was_started_is_left(numpy_lab: Workplace) -> None:
    task = numpy_lab.lab.task("relu")
    body = (
        "from minicaffe.door import importlib\n"
        "started = importlib.import_module('subprocess').Popen(['sleep', '100'])\n"
        "raise ValueError(f'pid {started.pid}')"
    )
    result = numpy_lab.check(task, with_body(numpy_lab.lab, task, "forward", body))
    found = re.search(r"ValueError: pid (\d+)$", result.sentence)
    assert found, result.sentence
    deadline = time.monotonic() + 20  # it has been killed; when it is gone is up to the system
    while is_alive(found[1]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(found[1])


def is_alive(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
