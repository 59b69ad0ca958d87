"""A kernel for the processor that is wrong: one sentence with its file, line and name."""

import re
from collections.abc import Iterator

import pytest

from minicaffe.labs import course
from tests.labs.attempts import Workplace, with_body, workplace

pytestmark = pytest.mark.slow  # each compiles


@pytest.fixture(scope="module")
def numba_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplace(course.load("numba"), tmp_path_factory.mktemp("numba")) as place:
        yield place


PLACE = r"kernels/cpu/relu\.py:\d+"
LOOP = "for i in prange(y.size):\n    "
BODIES = [
    (LOOP + "y[i] = rectifed(x[i])", "wrong", rf"^{PLACE}, kernel _rectify: .*'rectifed'"),
    (LOOP + "y[i] = x[i].nothing", "wrong", rf"^{PLACE}, kernel _rectify: "),
    (LOOP + "y[i] = rectified(x[i])", "wrong", rf"^{PLACE}, kernel _rectify: .*slope|argument"),
    (LOOP + "y[i + 1000000] = 1.0", "wrong", rf"^{PLACE}, kernel _rectify: .*beyond the end of"),
    ("y[0] = 1", "wrong", rf"^{PLACE}: the last statement of kernel _rectify must be its one loop"),
    (LOOP + "while y.size > 0:\n        y[i] = x[i]", "endless",
     "did not end within 15 s .*an endless loop"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "said"), BODIES, ids=[body[0][-20:] for body in BODIES])
def test_a_kernel_that_is_wrong(numba_lab: Workplace, body: str, kind: str, said: str) -> None:
    task = numba_lab.lab.task("relu")
    text = with_body(numba_lab.lab, task, task.write[0], body)
    result = numba_lab.check(task, text, seconds=15 if kind == "endless" else 0)
    assert (result.kind, bool(re.search(said, result.sentence))) == (kind, True), result.sentence
    assert "\n" not in result.sentence and "Traceback" not in result.sentence
