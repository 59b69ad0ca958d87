"""What the driver shows of its jobs while they go on, as their tasks tell it."""

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minicaffe.distributed.spark.forward_report import ForwardReport, calling
from minicaffe.distributed.spark.training_report import TrainingReport
from minicaffe.machine.compiling import compiling
from minicaffe.machine.pace import Pace
from minicaffe.monitor.progress import Progress


class Context:
    """What is asked of a SparkContext."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host

    def getConf(self) -> dict[str, str]:
        return {"spark.driver.host": self.host, "spark.driver.bindAddress": self.host}


@pytest.fixture
def report() -> Iterator[ForwardReport]:
    with contextlib.closing(ForwardReport(Context())) as report:
        yield report


def shown(report: ForwardReport, wanted: str) -> bool:
    """Whether the driver comes to say this; what is told needs its time."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if wanted in report.state():
            return True
        time.sleep(0.01)
    return False


def test_the_samples_of_all_tasks_are_added(report: ForwardReport) -> None:
    """A task that runs again counts once."""
    assert report.state() == ""
    report.total = 21
    with calling(report.call, 0) as one, calling(report.call, 1) as other:
        one.done(8)
        other.done(5)
        assert shown(report, "13 of 21 samples")
        one.done(3)
    assert shown(report, "16 of 21 samples")
    with calling(report.call, 1) as again:
        again.done(10)
        assert shown(report, "21 of 21 samples")


def test_compilations_are_shown_before_samples(
    report: ForwardReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "visible", False)
    monkeypatch.setattr(compiling, "_under_way", [])  # a kernel of another test that failed
    report.total = 21
    with calling(report.call, 0) as line:
        line.done(8)
        compiling.begins("relu._forward")
        assert shown(report, f"once: {compiling.count} so far (relu._forward)")
        compiling.ends("relu._forward")
        assert shown(report, "8 of 21 samples")
    assert compiling.tell is None


def gone() -> Any:
    with contextlib.closing(ForwardReport(Context())) as report:
        return report.call


@pytest.mark.parametrize("call", [None, "gone"])
def test_a_task_whom_nobody_hears_works_on(call: Any) -> None:
    with calling(gone() if call else None, 0) as line:
        line.done(8)


def test_a_driver_without_an_address_hears_nothing() -> None:
    """That of another machine, and none of its own to listen on in its place."""
    report = ForwardReport(Context("no-such-machine.invalid"))
    assert report.call is None
    assert report.state() == ""
    report.close()


def test_a_training_says_what_its_ranks_do_while_they_say_nothing() -> None:
    screen = io.StringIO()
    report = TrainingReport("", 0, 10, resumed=False)
    report.progress = Progress(10, stream=screen, pace=Pace(0))  # a line is always due
    report.begin(2)
    row = {"iteration": 4, "loss": 0.5, "lr": 0.1, "samples": 64, "seconds": 1.0, "waited": 0.0}
    for message in (
        {},
        {"kind": "hello", "rank": 0, "host": "here", "pid": 1},
        {"kind": "hello", "rank": 1, "host": "there", "pid": 2},
        {"kind": "compiling", "rank": 0, "count": 3, "name": "relu._forward"},
        {"kind": "tick", "rank": 0, **row},
        {"kind": "end", "rank": 0, "left_out": 0, "reasons": []},
    ):
        if message:
            report.hear(message)
        report.tick()
    report.close()
    said = screen.getvalue().splitlines()
    waiting = [line.removesuffix(", 0 s so far") for line in said if line.endswith(" so far")]
    assert waiting[:3] == [
        "waiting for the ranks: 0 of 2 have started",
        "waiting for the ranks: 1 of 2 have started",
        "the ranks set up their nets and data",
    ]
    assert waiting[3] == "compiling kernels for this machine, once: 3 so far (relu._forward)"
    assert waiting[4].startswith("iteration 5/10  loss 0.5")
    assert waiting[4].endswith("no news")
    assert waiting[5] == "the ranks are done, the model comes"
