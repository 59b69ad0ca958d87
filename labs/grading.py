"""Grading: a task's tests in a child process, and what came of it in one sentence."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .children import Run, environment, pytest_words, run, runs_of
from .course import ROOT, Lab, LabError, Task
from .folder import fault
from .sentences import of_stacks

#: What runs pytest: words, variables, working directory, seconds.
Runner = Callable[[Sequence[str], Mapping[str, str], Path, float], Run]

#: How an attempt ends; "right" is all tests passed.
KINDS = (
    "right",
    "blank",
    "wrong",
    "endless",
    "crashed",
    "left",
    "forbidden",
    "unreadable",
    "missing",
)


@dataclass
class Result:
    """What became of one task."""

    task: Task
    kind: str
    passed: int = 0
    total: int = 0
    points: float = 0.0
    sentence: str = ""  # of the first failure
    failures: dict[str, str] = field(default_factory=dict)  # test -> sentence
    printed: str = ""  # by the first test that failed
    seconds: dict[str, float] = field(default_factory=dict)  # test -> seconds
    output: str = ""  # of pytest

    @property
    def right(self) -> bool:
        """Whether all tests passed."""
        return self.kind == "right"


def public_tests(lab: Lab, task: Task) -> list[str]:
    """The files of the lab's own tests for a task."""
    return [shlex.quote(str(lab.folder / "tests" / name)) for name in task.tests]


def check(folder: Path, lab: Lab, task: Task, seed: int = 0, runner: Runner = run) -> Result:
    """Run the lab's own tests of a task against the files of a folder."""
    kind, sentence = fault(folder, lab, task)
    if kind:
        return Result(task, kind, 0, 0, 0.0, sentence)
    words = pytest_words(public_tests(lab, task), ROOT.parent, folder, None)
    return attempt(folder, task, words, folder, seed, runner=runner)


def check_hidden(
    folder: Path, lab: Lab, task: Task, root: Path, tests: Sequence[str], seed: int = 0
) -> Result:
    """Run other tests for a task: the product's in a checkout, or the staff's.

    The settings of pytest are those of `root`, if it has a pyproject.toml.
    """
    kind, sentence = fault(folder, lab, task)
    if kind:
        return Result(task, kind, 0, 0, 0.0, sentence)
    settings = root / "pyproject.toml"
    config = settings if settings.is_file() else None
    runs = [pytest_words(chosen, root, folder, config) for chosen in runs_of(tests)]
    return joined([attempt(folder, task, run, root, seed, 4 * task.seconds) for run in runs])


def joined(results: Sequence[Result]) -> Result:
    """The result of several runs of one task: the first that was not right tells how it is."""
    total = sum(result.total for result in results)
    earned = sum(result.points * result.total for result in results)
    told = next((result for result in results if not result.right), results[0])
    return replace(
        told,
        passed=sum(result.passed for result in results),
        total=total,
        points=round(earned / total, 1) if total else 0.0,
        failures={test: said for result in results for test, said in result.failures.items()},
        seconds={test: took for result in results for test, took in result.seconds.items()},
        output="".join(result.output for result in results),
    )


def attempt(
    folder: Path,
    task: Task,
    words: list[str],
    cwd: Path,
    seed: int,
    seconds: float = 0,
    runner: Runner = run,
) -> Result:
    """Run pytest with these words; where it crashes, once more with kernels as Python."""
    limit = seconds or task.seconds
    checks = {} if task.speed else {"NUMBA_BOUNDSCHECK": "1"}
    done = runner(words, environment(folder, seed, **checks), cwd, limit)
    result = judge(done, task, folder)
    if result.kind == "crashed" and not task.speed:
        plain = environment(folder, seed, NUMBA_DISABLE_JIT="1")
        again = judge(runner([*words, "-x"], plain, cwd, limit), task, folder)
        if again.kind == "wrong" and again.sentence:
            result.sentence += f"; as Python: {again.sentence}"
    return result


def judge(done: Run, task: Task, folder: Path) -> Result:
    """What a run says of a task."""
    results, tests = done.results, done.tests
    result = Result(task, "right", output=done.output)
    passed = [event for event in results if event["passed"] and not event.get("skipped")]
    skipped = {event["test"] for event in results if event.get("skipped")}
    failed = [event for event in results if not event["passed"] and not event.get("skipped")]
    broken = [event["test"] for event in failed if event["test"] not in tests]
    result.total = len(set(tests) - skipped) + len(broken)
    result.passed = len(passed)
    result.failures = {event["test"]: event.get("sentence", "") for event in failed}
    result.seconds = {event["test"]: event.get("seconds", 0.0) for event in results}
    shares = sum(1.0 if event.get("share") is None else event["share"] for event in passed)
    result.points = round(task.points * shares / result.total, 1) if result.total else 0.0
    if failed:
        result.kind, result.sentence = "wrong", failed[0].get("sentence", "")
        result.printed = failed[0].get("printed", "")
        if "is yours to write" in result.sentence:
            result.kind = "blank"
    elif result.passed < result.total:
        result.kind = "left"
    if not done.ended:
        _interrupted(done, task, folder, result)
    elif not result.total:
        said = done.output.strip().splitlines()
        raise LabError(f"task {task.name}: no tests were found: {said[-1] if said else ''}")
    return result


def _interrupted(done: Run, task: Task, folder: Path, result: Result) -> None:
    """The process did not come to the end of its tests."""
    where = of_stacks(done.stacks, folder)
    at = f" at {where}" if where else ""
    test = done.running.rpartition("::")[2]
    during = f" in {test}" if test else ""
    if done.late:
        result.kind = "endless"
        said = (
            f"task '{task.name}' did not end within {task.seconds:g} s{during}{at}: "
            f"an endless loop? minicaffe lab debug {task.name}"
        )
    elif done.status < 0:
        result.kind = "crashed"
        name = signal.Signals(-done.status).name
        said = f"the process died by {name}{during}{at}: minicaffe lab debug {task.name}"
    elif done.tests or done.status == 0:
        result.kind = "left"
        said = (
            f"the process ended{during}{at} before its tests did: os._exit, or sys.exit somewhere?"
        )
    else:
        last = [line for line in done.output.strip().splitlines() if line.strip()]
        raise LabError(f"task {task.name}: the tests did not start: {last[-1] if last else ''}")
    if result.sentence and result.kind != "crashed":
        result.sentence += f"; then: {said}"
    else:
        result.sentence = said
    if test:
        result.failures.setdefault(done.running, said)
