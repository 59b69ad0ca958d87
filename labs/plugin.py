"""The pytest plugin under which a lab's tests run: fixtures, comparisons, and the record of it all.

    from minicaffe.labs.plugin import close, gradient, ratio_points

A comparison fails with one sentence, which is what the student reads: what differs, where, by how
much, in which case, and what that usually comes from.

The record (`--lab-record FILE`) is a line of JSON for each event. `lab check` reads it, also when
the process did not live to its end.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from .compare import close, gradient
from .sentences import of_exception

__all__ = ["close", "gradient", "ratio_points", "share_points"]

SEED = "MINICAFFE_LAB_SEED"


class _Running:
    """What the test that runs has earned, where that is not all or nothing."""

    share: float | None = None


def ratio_points(
    name: str, yours_seconds: float, reference_seconds: float, low: float, high: float, advice: str
) -> float:
    """A share of the test's points by speed: 0 at `low`, all of them from `high` on.

    What is rated is reference_seconds / yours_seconds. Returns the share; fails at or below `low`.
    """
    __tracebackhide__ = True
    ratio = reference_seconds / yours_seconds
    return share_points(
        (ratio - low) / (high - low),
        f"{name}: yours takes {yours_seconds * 1e3:.4g} ms, the reference "
        f"{reference_seconds * 1e3:.4g} ms: {ratio:.3g} of its speed, points begin at {low:g}; "
        f"{advice}",
    )


def share_points(share: float, sentence: str) -> float:
    """A share of the test's points, at least 0 and at most 1; fails with the sentence at 0.

    Returns the share.
    """
    __tracebackhide__ = True
    _Running.share = min(1.0, max(0.0, share))
    if not _Running.share:
        pytest.fail(sentence)
    return _Running.share


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that `-seed` repeats; the same for each test, whichever run before it."""
    return np.random.default_rng(int(os.environ.get(SEED) or 0))


@pytest.fixture
def lab_folder(request: pytest.FixtureRequest) -> Path:
    """The student's folder."""
    return Path(str(request.config.getoption("--lab-folder"))).absolute()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the student's files are, where the record goes, and how long all may take."""
    group = parser.getgroup("minicaffe labs")
    group.addoption("--lab-folder", default=".", help="the student's folder")
    group.addoption("--lab-record", default="", help="where to write what happens, as JSON lines")
    group.addoption("--lab-seconds", type=float, default=0, help="limit for all tests; 0 for none")


def pytest_configure(config: pytest.Config) -> None:
    """Start the record."""
    path = config.getoption("--lab-record")
    if path:
        record = Record(Path(path), Path(config.getoption("--lab-folder")).absolute())
        config.pluginmanager.register(record, "minicaffe-lab-record")
        record.limit(config.getoption("--lab-seconds"))
        record.write("start")


class Record:
    """Writes the events of a session, each at once: "start", "begin", "test", "done", "end"."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._file: IO[str] = path.open("a", encoding="utf-8", buffering=1)
        self._folder = folder
        self._process = os.getpid()
        self._stacks = path.with_suffix(".stacks").open("w", encoding="utf-8")
        faulthandler.enable(self._stacks, all_threads=True)

    def limit(self, seconds: float) -> None:
        """Let the system end a process that computes for twice as long, and say where it stood."""
        if not seconds:
            return
        spent = time.process_time()
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        cpu = int(spent + 2 * seconds + 1)
        if hard == resource.RLIM_INFINITY or cpu < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, hard))
        faulthandler.dump_traceback_later(max(seconds - 0.5, 0.5), file=self._stacks)

    def write(self, event: str, **facts: Any) -> None:
        """One line; not from a process that a test has forked."""
        if os.getpid() == self._process:
            self._file.write(json.dumps({"event": event, **facts}) + "\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many tests there are."""
        self.write("begin", tests=[item.nodeid for item in session.items])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be imported, because of the student's file as a rule."""
        if report.failed:
            self.write("done", test=report.nodeid, passed=False, sentence=self._said(report))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """Have the sentence of a file that could not be imported."""
        outcome: Any = yield
        if isinstance(outcome.exception, SystemExit):  # of the student's file; it ends the session
            said = of_exception(outcome.exception, self._folder)
            self.write("done", test=collector.nodeid, passed=False, sentence=said)
        report = outcome.get_result()
        call = getattr(report, "call", None)
        if report.failed and call is not None and call.excinfo is not None:
            report.lab_sentence = of_exception(call.excinfo.value, self._folder)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """This one is next."""
        _Running.share = None
        self.write("test", test=nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Have the sentence of a failure."""
        outcome: Any = yield
        report = outcome.get_result()
        if report.failed and call.excinfo is not None:
            report.lab_sentence = of_exception(call.excinfo.value, self._folder)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test is over: with its call, or earlier if that was not reached."""
        if report.when == "call" or (report.when == "setup" and not report.passed):
            self.write(
                "done",
                test=report.nodeid,
                passed=report.passed,
                skipped=report.skipped,
                sentence=self._said(report) if report.failed else "",
                seconds=round(report.duration, 3),
                share=_Running.share,
                printed=report.capstdout[-2000:] if report.failed else "",
            )
        elif report.when == "teardown" and report.failed:
            self.write("done", test=report.nodeid, passed=False, sentence=self._said(report))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """The process has come to its end by itself."""
        faulthandler.cancel_dump_traceback_later()
        self.write("end", status=int(exitstatus))

    @staticmethod
    def _said(report: pytest.CollectReport | pytest.TestReport) -> str:
        said = getattr(report, "lab_sentence", "")
        return said or str(report.longrepr).strip().splitlines()[-1]
