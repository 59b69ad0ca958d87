"""What holds of a lab before students have it.

1. The reference passes all tests, public ones and the product's.
2. With a stub of one task every test of that task fails, and no test of an earlier one.
3. Mutants of what students write die: nine of ten by public tests, the rest by the product's tests,
   but for those that lab.toml lists as equal, with a reason.
4. Its tests are over in the time that lab.toml gives them.
5. The commands of its handout run (handout.py).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from .children import environment, pytest_words, runs_of
from .course import ROOT, Lab, LabError, Task
from .grading import Result, check, check_hidden, judge, public_tests
from .handout import run_commands
from .mutants import Mutant, mutants
from .release import Given, handed_out, released
from .warm import Warm

ENOUGH = 0.9  # of the mutants, by public tests
PATIENCE = 5.0  # times as long as the reference may a mutant take, and 3 s more


@dataclass
class TaskReport:
    """What was found of one task."""

    task: Task
    tests: int = 0
    cold: float = 0.0  # seconds of a first check, and of a second one
    warm: float = 0.0
    hidden: int = 0
    mutants: int = 0
    by_public: int = 0
    by_product: int = 0
    equal: int = 0
    alive: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def checkout() -> Path | None:
    """The checkout that this package runs from, with the product's tests; None if installed."""
    root = ROOT.parent
    return root if (root / "setup.py").is_file() and (root / "tests").is_dir() else None


def write(folder: Path, files: Sequence[Given]) -> None:
    """Put files into a folder."""
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(file.content)


class Verifier:
    """Verifies one lab, with some warm processes at a time."""

    def __init__(self, lab: Lab, scratch: Path, workers: int, most: int) -> None:
        """`most` mutants a task are tried, evenly chosen; 0 for all."""
        self.lab = lab
        self._scratch = scratch
        self._workers = workers
        self._most = most
        self._reports = [TaskReport(task) for task in lab.tasks]

    def verify(self) -> list[TaskReport]:
        """All of it, task by task."""
        with ThreadPoolExecutor(self._workers) as threads:
            for report in threads.map(self._reference, self._reports):
                if report.faults:
                    return self._reports
        for kind in ("checked", "speed"):
            reports = [r for r in self._reports if ("speed" if r.task.speed else "checked") == kind]
            if reports:
                self._with_warm(reports)
        self._reports[0].faults += run_commands(self.lab, self._scratch / "handout")
        return self._reports

    def _reference(self, report: TaskReport) -> TaskReport:
        """The answer passes, at first with nothing compiled, then again."""
        task = report.task
        folder = self._scratch / f"reference-{task.name}"
        write(folder, [*handed_out(self.lab), *released(self.lab, stubs=())])
        root = checkout()
        for seconds in ("cold", "warm"):
            result = check(folder, self.lab, task)
            setattr(report, seconds, sum(result.seconds.values()))
            self._must_pass(report, result, f"{seconds} reference")
        report.tests = result.total
        if task.product_tests and root is not None:
            result = check_hidden(folder, self.lab, task, root, task.product_tests)
            report.hidden = result.total
            self._must_pass(report, result, "reference, product's tests")
        return report

    @staticmethod
    def _must_pass(report: TaskReport, result: Result, what: str) -> None:
        if not result.right:
            report.faults.append(f"{what}: {result.passed} of {result.total}: {result.sentence}")

    def _with_warm(self, reports: list[TaskReport]) -> None:
        """Stubs and mutants, each worker with a folder and a warm process of its own."""
        with ThreadPoolExecutor(self._workers) as threads:
            spare: SimpleQueue[Bench] = SimpleQueue()
            benches = list(
                threads.map(lambda n: self._bench(n, reports[0].task), range(self._workers))
            )
            try:
                for bench in benches:
                    spare.put(bench)
                for report in reports:
                    self._stub(report, benches[0])
                for report in reports:
                    self._mutate(report, threads, spare)
            finally:
                for bench in benches:
                    bench.close()

    def _bench(self, number: int, task: Task) -> Bench:
        kind = "speed" if task.speed else "checked"
        folder = self._scratch / f"bench-{kind}-{number}"
        write(folder, [*handed_out(self.lab), *released(self.lab, stubs=())])
        cache = self._scratch / f"reference-{task.name}" / ".cache"
        return Bench(self.lab, folder, task, cache)

    def _stub(self, report: TaskReport, bench: Bench) -> None:
        """Without this task its tests fail, and no test of an earlier task does."""
        task = report.task
        bench.put(released(self.lab, stubs=[task]))
        passed = [name for name, good in bench.outcomes(task).items() if good]
        if passed:
            report.faults.append(f"with a stub {len(passed)} tests pass, such as {passed[0]}")
        for earlier in self.lab.tasks[: self.lab.tasks.index(task)]:
            if earlier.speed == task.speed:
                failed = [name for name, good in bench.outcomes(earlier).items() if not good]
                if failed:
                    report.faults.append(
                        f"with a stub, a test of {earlier.name} fails: {failed[0]}"
                    )
        bench.put(released(self.lab, stubs=()))

    def _mutate(
        self, report: TaskReport, threads: ThreadPoolExecutor, spare: SimpleQueue[Bench]
    ) -> None:
        """Every mutant dies, or is known to compute the same."""
        task = report.task
        if task.source == "given":
            return
        text = self.lab.reference_text(task)
        all_of_them = [m for name in self._functions(task) for m in mutants(text, name)]
        equal = dict(task.equal)
        unknown = equal.keys() - {mutant.name for mutant in all_of_them}
        report.faults += [f"equal: there is no mutant '{name}'" for name in sorted(unknown)]
        chosen = [mutant for mutant in all_of_them if mutant.name not in equal]
        if self._most and len(chosen) > self._most:
            step = len(chosen) / self._most
            chosen = [chosen[int(number * step)] for number in range(self._most)]

        def fate(mutant: Mutant) -> str:
            bench = spare.get()
            try:
                return bench.fate(task, mutant, report.warm)
            finally:
                spare.put(bench)

        fates = dict(zip(chosen, threads.map(fate, chosen), strict=True))
        report.mutants, report.equal = len(chosen), len(equal)
        report.by_public = sum(each == "public" for each in fates.values())
        report.by_product = sum(each == "product" for each in fates.values())
        report.alive = [mutant.name for mutant, each in fates.items() if each == "alive"]
        report.faults += [f"a mutant lives: {name}" for name in report.alive]
        if chosen and report.by_public < ENOUGH * len(chosen):
            late = [mutant.name for mutant, each in fates.items() if each != "public"]
            report.faults.append(
                f"public tests kill {report.by_public} of {len(chosen)} mutants, not 9 of 10; "
                f"not: {'; '.join(late)}"
            )

    def _functions(self, task: Task) -> list[str]:
        """What is written in this task, and in none before that has tests of results too."""
        before = {
            name
            for other in self.lab.tasks
            if other is not task and other.file == task.file
            and (other.speed < task.speed or self._is_earlier(other, task))
            for name in other.write
        }  # fmt: skip
        return [name for name in task.write if name not in before]

    def _is_earlier(self, other: Task, task: Task) -> bool:
        tasks = self.lab.tasks
        return other.speed == task.speed and tasks.index(other) < tasks.index(task)


class Bench:
    """A folder and the warm process that runs tests on it."""

    def __init__(self, lab: Lab, folder: Path, task: Task, cache: Path) -> None:
        """`task` tells whether arrays are checked, and is run once to learn what is imported."""
        self._lab = lab
        self._folder = folder
        self._root = checkout()
        how = {} if task.speed else {"NUMBA_BOUNDSCHECK": "1"}
        if task.python_mutants:
            how = {"NUMBA_DISABLE_JIT": "1"}
        variables = environment(folder, 0, **how) | {"MINICAFFE_CACHE_DIR": str(cache)}
        self._warm = Warm(folder, lab.files, variables)
        for each in lab.tasks:
            if each.speed == task.speed:
                self._warm.prepare(self._public(each), folder, 120 + each.seconds)

    def put(self, files: Sequence[Given]) -> None:
        """Have these files from now on."""
        write(self._folder, files)

    def outcomes(self, task: Task) -> dict[str, bool]:
        """The public tests of a task that are not skipped here: whether each passed."""
        done = self._warm.run(self._public(task), self._folder, 3 * task.seconds)
        judged = judge(done, task, self._folder)
        names = done.tests or [*judged.failures, f"the tests of {task.name}"]
        skipped = {event["test"] for event in done.results if event.get("skipped")}
        return {
            name: name not in judged.failures and any(
                event["test"] == name and event["passed"] for event in done.results
            )
            for name in names if name not in skipped
        }  # fmt: skip

    def fate(self, task: Task, mutant: Mutant, seconds: float) -> str:
        """Whose tests kill a mutant: "public", "product", or "alive"."""
        path = self._folder / task.file
        kept = path.read_bytes()
        path.write_bytes(mutant.text.encode())
        try:
            limit = min(PATIENCE * seconds + 3, 3 * task.seconds)
            for each in self._of_the_same_file(task):
                done = self._warm.run(
                    [*self._public(each), "-x", "--assert=plain"], self._folder, limit
                )
                if not _all_passed(done.events, done.ended):
                    return "public"
            if self._root is not None and task.product_tests:
                for words in self._hidden(task):
                    done = self._warm.run(words, self._root, 4 * task.seconds)
                    if not _all_passed(done.events, done.ended):
                        return "product"
            return "alive"
        finally:
            path.write_bytes(kept)

    def _of_the_same_file(self, task: Task) -> list[Task]:
        """The task, and those whose tests run the same file."""
        others = [each for each in self._lab.tasks if each.file == task.file and each is not task]
        return [task, *(each for each in others if each.speed == task.speed)]

    def _public(self, task: Task) -> list[str]:
        return pytest_words(public_tests(self._lab, task), ROOT.parent, self._folder, None)

    def _hidden(self, task: Task) -> list[list[str]]:
        root, config = self._root, self._root and self._root / "pyproject.toml"
        assert root is not None
        return [
            [*pytest_words(chosen, root, self._folder, config), "-x", "--assert=plain"]
            for chosen in runs_of(task.product_tests)
        ]

    def close(self) -> None:
        """End the process."""
        self._warm.close()


def _all_passed(events: Sequence[dict[str, object]], ended: bool) -> bool:
    done = [event for event in events if event["event"] == "done"]
    return ended and bool(done) and all(event["passed"] or event.get("skipped") for event in done)


def verify(lab: Lab, workers: int = 2, most: int = 0) -> list[TaskReport]:
    """Verify a lab in a scratch folder."""
    lack = lab.missing()
    if lack:
        raise LabError(lack)
    scratch = Path(tempfile.mkdtemp(prefix="minicaffe-verify-"))
    try:
        return Verifier(lab, scratch, workers, most).verify()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
