"""Marks: all tests of a submission, public ones, the product's and the staff's, and the points.

A task has up to three groups of tests. Each is worth the same part of the task's points, and gives
its part by the share of its tests that pass; but no group gives more than the public one, since
some of the product's tests pass with nothing written.
"""

from __future__ import annotations

import csv
import io
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minicaffe import __version__

from .course import Lab, LabError, Task
from .grading import Result, check, check_hidden
from .submission import Submission

GROUPS = ("public", "product", "staff")


@dataclass
class TaskMark:
    """One task of one student."""

    task: Task
    groups: dict[str, Result] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """The mean of the groups' points."""
        return round(sum(map(self.points_of, self.groups)) / max(1, len(self.groups)), 2)

    def points_of(self, group: str) -> float:
        """What a group would give if it were the only one."""
        return min(self.groups[group].points, self.groups["public"].points)

    @property
    def sentence(self) -> str:
        """The first failure."""
        return next((r.sentence for r in self.groups.values() if r.sentence), "")


@dataclass
class Mark:
    """One student's lab."""

    student: str
    lab: Lab
    seed: int
    tasks: list[TaskMark] = field(default_factory=list)

    @property
    def points(self) -> float:
        """Of all tasks."""
        return round(sum(task.points for task in self.tasks), 2)

    @property
    def right(self) -> bool:
        """Whether every test of every group passed."""
        return all(result.right for task in self.tasks for result in task.groups.values())


def grade(path: Path, name: str, seed: int, product: Path | None, staff: Path | None) -> Mark:
    """All tests of a submission.

    `product` is a folder with the product's tests and its pyproject.toml, `staff` one with
    test_TASK.py and test_TASK_*.py, where there are any.
    """
    submission = Submission(path)
    lab = submission.lab(name)
    lack = lab.missing()
    if lack:
        raise LabError(lack)
    mark = Mark(submission.student, lab, seed)
    with tempfile.TemporaryDirectory(prefix="minicaffe-grade-") as scratch:
        folder = Path(scratch)
        submission.unpack(lab, folder)
        for task in lab.tasks:
            found = TaskMark(task, {"public": check(folder, lab, task, seed)})
            mark.tasks.append(found)
            if product is not None and task.product_tests:
                tests = task.product_tests
                found.groups["product"] = check_hidden(folder, lab, task, product, tests, seed)
            secret = sorted(shlex.quote(str(p)) for p in staff_tests(staff, task)) if staff else []
            if staff is not None and secret:
                found.groups["staff"] = check_hidden(folder, lab, task, staff, secret, seed)
    return mark


def staff_tests(folder: Path, task: Task) -> list[Path]:
    """The files of the staff's folder that are about a task. Raises LabError without a folder."""
    if not folder.is_dir():
        raise LabError(f"-tests {folder}: there is no such folder")
    return [*folder.glob(f"test_{task.name}.py"), *folder.glob(f"test_{task.name}_*.py")]


def as_json(marks: Sequence[Mark]) -> dict[str, Any]:
    """All that is known, for programs."""
    return {
        "minicaffe": __version__,
        "submissions": [
            {
                "student": mark.student,
                "lab": mark.lab.name,
                "seed": mark.seed,
                "points": mark.points,
                "of": mark.lab.points,
                "tasks": [
                    {
                        "task": each.task.name,
                        "points": each.points,
                        "of": each.task.points,
                        "groups": {
                            name: {
                                "kind": result.kind,
                                "passed": result.passed,
                                "total": result.total,
                                "points": result.points,
                                "failures": result.failures or _only(result),
                            }
                            for name, result in each.groups.items()
                        },
                    }
                    for each in mark.tasks
                ],
            }
            for mark in marks
        ],
    }


def _only(result: Result) -> dict[str, str]:
    return {result.task.file: result.sentence} if result.sentence else {}


def as_gradescope(mark: Mark) -> dict[str, Any]:
    """What Gradescope reads from results.json; only the public tests are shown at once."""
    tests = []
    for each in mark.tasks:
        part = len(each.groups)
        for name, result in each.groups.items():
            counted = f"{result.passed} of {result.total} tests passed"
            tests.append(
                {
                    "name": each.task.name if name == "public" else f"{each.task.name} ({name})",
                    "score": round(each.points_of(name) / part, 2),
                    "max_score": round(each.task.points / part, 2),
                    "output": f"{counted}. {result.sentence}".strip(),
                    "visibility": "visible" if name == "public" else "after_published",
                }
            )
    return {"score": mark.points, "tests": tests, "output": f"lab {mark.lab.name}, {__version__}"}


def as_csv(marks: Sequence[Mark]) -> str:
    """A line a student: points of all, and of each task."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    names = list(dict.fromkeys(task.task.name for mark in marks for task in mark.tasks))
    lines.writerow(["student", "lab", "points", *names])
    for mark in marks:
        points = {task.task.name: task.points for task in mark.tasks}
        lines.writerow(
            [mark.student, mark.lab.name, mark.points, *(points.get(n, "") for n in names)]
        )
    return out.getvalue()
