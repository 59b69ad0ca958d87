"""What `lab check` prints: a line a task as it comes, the sum, and hints one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .course import LabError, Task
from .folder import MARK, Folder
from .grading import Result, check


def print_checks(
    here: Folder, tasks: Sequence[Task], seed: int, printed: bool = False
) -> list[Result]:
    """Check tasks and print a line for each; `printed`: what the code printed too."""
    wide = max(len(task.name) for task in tasks)
    print(f"{'task':{wide}}  points    passed    first failure")
    results = []
    for task in tasks:
        print(f"{task.name:{wide}}  ", end="", flush=True)
        try:
            result = check(here.path, here.lab, task, seed)
        except BaseException:
            print()
            raise
        results.append(result)
        points = f"{result.points:g}/{task.points}"
        passed = f"{result.passed} of {result.total}" if result.total else "-"
        print(f"{points:8}  {passed:8}  {result.sentence or 'none'}")
        if result.printed and printed:
            print("\nprinted in the first test that failed:\n" + result.printed.rstrip())
    print()
    if any(result.kind in ("wrong", "crashed") for result in results):
        name = next(result.task.name for result in results if not result.right)
        print(f"the same cases again: minicaffe lab check {name} -seed {seed}")
    done, total = sum(r.passed for r in results), sum(r.total for r in results)
    print(f"points here: {sum(r.points for r in results):g} of {sum(t.points for t in tasks)}")
    print(f"{done} of {total} public tests passed; the course may run others")
    return results


def hint(here: Folder, results: Sequence[Result]) -> str:
    """The next hint of the first task that is not done; each call tells one more, then them all."""
    for result in results:
        hints = result.task.hints
        if result.right or not hints:
            continue
        told = _count(here, result.task.name, len(hints))
        lines = [
            f"hint {number} of {len(hints)}: {hints[number - 1]}" for number in range(1, told + 1)
        ]
        return "\n".join(f"{result.task.name}, {line}" for line in lines)
    return "no hints left: nothing is to be done"


def _count(here: Folder, task: str, most: int) -> int:
    """How many hints to tell: one more than last time. The folder's mark counts them."""
    path = here.path / MARK
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
        hints = mark.setdefault("hints", {})
        hints[task] = min(most, int(hints.get(task, 0)) + 1)
        path.write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LabError(f"{path}: {error}") from None
    return int(hints[task])
