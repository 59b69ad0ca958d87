"""What a solver says: the lines of Caffe's own logs, in its words."""

import logging
import re
from pathlib import Path

import pytest

from minicaffe.proto.files import read_solver
from minicaffe.solver.create import create_solver
from minicaffe.solver.log import Clock, WindowMean

# What parse_log and its relatives look for.
PARSED = re.compile(
    r"Iteration \d+|(Train|Test) net output #\d+: \S+ = |Test loss|MultiStep|Snapshotting|"
    r"Gradient clipping|Optimization Done|Solving |\[(Forward|Backward)\]|restoring history"
)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def golden_lines(path):
    """The messages of a log of the real `caffe train`, as far as tools read them."""
    lines = [re.sub(r"^[IEW]\S+ \S+ +\d+ \w+\.cpp:\d+\] ", "", line)
             for line in path.read_text().splitlines() if re.match("[IEW]2000", line)]  # fmt: skip
    return [line for line in lines if PARSED.search(line)][:-1]  # the last is the tool's


def comparable(line):
    """A line without its times and paths, cut into words and numbers."""
    line = re.sub(r"\(\S+ iter/s, \S+s/(\d+) iters\)", r"(\1 iters)", line)
    line = re.sub(r"file \S*/", "file ", line)
    return NUMBER.sub("#", line), [float(number) for number in NUMBER.findall(line)]


@pytest.fixture
def run(goldens: Path, tmp_path, monkeypatch, caplog):
    """Solve as a golden log did, from its folder; the lines that tools read."""
    monkeypatch.chdir(goldens)

    def solve(name, resume=None):
        caplog.set_level(logging.INFO, "minicaffe")
        param = read_solver(f"files/logs/{name}.prototxt")
        param.snapshot_prefix = f"{tmp_path}/snap"
        solver = create_solver(param)
        if resume:
            solver.restore(resume)
        solver.solve()
        return [line for line in caplog.messages if PARSED.search(line)]

    return solve


@pytest.mark.parametrize(
    ("log", "solver", "resume"),
    [
        ("train", "solver", None),
        ("train_resume", "solver", "files/logs/snap_iter_5.solverstate"),
        ("train_debug", "solver_debug", None),
    ],
)
def test_a_training_says_what_caffe_said(goldens, run, log, solver, resume):
    expected = golden_lines(goldens / "files" / "logs" / f"{log}.log")
    lines = run(solver, resume)
    assert [comparable(line)[0] for line in lines] == [comparable(line)[0] for line in expected]
    for line, wanted in zip(lines, expected, strict=True):
        assert comparable(line)[1] == pytest.approx(comparable(wanted)[1], rel=2e-5), line


def test_the_window_of_losses_slides():
    mean = WindowMean(3)
    seen = []
    for value in (3, 6, 9, 12, 0):
        mean.add(value)
        seen.append(mean.value)
    assert seen == pytest.approx([3, 4.5, 6, 9, 7])


def test_the_clock_counts_iterations_since_its_last_lap(monkeypatch):
    times = iter([10.0, 14.0, 15.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    clock = Clock(100)
    assert clock.lap(108) == (2.0, 4.0)
    assert clock.lap(109) == (1.0, 1.0)
