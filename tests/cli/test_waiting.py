"""What is shown while something long is under way that shows nothing itself."""

import io
import itertools
import logging
from collections.abc import Iterator

import pytest

from minicaffe.cli import _progress
from minicaffe.machine.compiling import Compiling
from minicaffe.machine.pace import EVERY, Pace
from minicaffe.monitor.progress import Progress
from minicaffe.monitor.waiting import Waiting


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines_after(pace: Pace, clock: Clock, seconds: int) -> Iterator[int]:
    """The seconds at which a line is due, asked every second."""
    for second in range(1, seconds + 1):
        clock.now += 1
        if pace.due():
            pace.said()
            yield second


def test_ten_seconds_never_pass_without_a_line_in_the_first_ten_minutes() -> None:
    clock = Clock()
    due = [0, *lines_after(Pace(clock=clock), clock, 600)]
    assert max(b - a for a, b in itertools.pairwise(due)) <= 10
    assert due[1] == EVERY


def test_the_lines_of_a_day_are_some_hundreds() -> None:
    clock = Clock()
    assert 300 < len(list(lines_after(Pace(clock=clock), clock, 86_400))) < 700
    clock = Clock()
    assert len(list(lines_after(Pace(1, steady=True, clock=clock), clock, 3600))) == 3600


def test_off_a_terminal_lines_say_how_far_it_is_and_for_how_long() -> None:
    clock, stream = Clock(), io.StringIO()
    line = Waiting("features", stream, Pace(clock=clock))
    asked = []

    def state() -> str:
        asked.append(clock.now)
        return "1 of 2 tasks done"

    for _ in range(11):
        clock.now += 1
        line.show(state)
    line.close()
    assert stream.getvalue().splitlines() == [
        "features: 1 of 2 tasks done, 4 s so far",
        "features: 1 of 2 tasks done, 8 s so far",
    ]
    assert len(asked) == 2


def test_on_a_terminal_one_line_is_redrawn_and_taken_away() -> None:
    clock, stream = Clock(), Terminal()
    line = Waiting("Spark starts", stream, Pace(1, steady=True, clock=clock))
    line.show()
    assert stream.getvalue() == ""  # what is short leaves no trace
    clock.now += 1
    line.show()
    line.close()
    assert "Spark starts: 1 s so far" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().rpartition("\r")[0].endswith(" ")  # blanks over it


def test_a_training_tells_between_its_lines_where_there_were_none_of_late() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(100, stream=stream, pace=Pace(clock=clock))
    progress.under_way("too early")
    clock.now += 6
    progress.under_way("the ranks set up their nets and data, 6 s so far")
    progress.update(10, 0.5, 0.1, 100, 0)
    clock.now += 6
    facts = progress.update(20, 0.5, 0.1, 100, 0)
    clock.now += 6
    progress.update(30, 0.5, 0.1, 100, 0, line=True)
    said = stream.getvalue().splitlines()
    assert said[0] == "the ranks set up their nets and data, 6 s so far"
    assert [line.split()[1] for line in said[1:]] == ["20/100", "30/100"]
    assert said[1].startswith(facts)


def test_a_command_tells_how_many_records_there_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(_progress, "Pace", lambda: Pace(clock=clock))
    monkeypatch.setattr("sys.stderr", io.StringIO())
    caplog.set_level(logging.INFO, "minicaffe")
    for _ in _progress.progress(range(12), 12):
        clock.now += 1
    assert caplog.messages == ["4 of 12 records", "8 of 12 records"]


def test_a_log_tells_of_compilations_that_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr("minicaffe.machine.compiling.Pace", lambda: Pace(clock=clock))
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    caplog.set_level(logging.INFO, "minicaffe")
    compiling = Compiling(io.StringIO())
    for name in "abcd":
        compiling.begins(name)
        clock.now += 3
        compiling.ends(name)
    assert len(caplog.messages) == 2
    assert caplog.messages[1].endswith("once: 2 so far (c)")
