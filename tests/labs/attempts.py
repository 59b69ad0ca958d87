"""Attempts at a lab: the reference, with other bodies for some functions, in a warm process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from minicaffe.labs.children import Run, environment
from minicaffe.labs.course import Lab, Task
from minicaffe.labs.grading import Result, check
from minicaffe.labs.release import blank, released
from minicaffe.labs.verify import write
from minicaffe.labs.warm import Warm


def with_body(lab: Lab, task: Task, function: str, body: str) -> str:
    """The reference of a task, in which a function has another body."""
    text = blank(lab.reference_text(task), [function], "lab l, task t")
    lines = text.splitlines()
    place = next(n for n, line in enumerate(lines) if "lab l, task t" in line)
    indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    lines[place : place + 1] = [indent + line for line in body.splitlines()]
    return "\n".join(lines) + "\n"


class Workplace:
    """A student's folder with a warm process beside it."""

    def __init__(self, lab: Lab, folder: Path, warm: Warm) -> None:
        self.lab = lab
        self.folder = folder
        self._warm = warm

    def check(self, task: Task, text: str | bytes | None = None, seconds: float = 0) -> Result:
        """What `lab check` says of a text for the task's file; None: of the reference."""
        if seconds:
            task = replace(task, seconds=seconds)
        path = self.folder / task.file
        if text is not None:
            path.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            return check(self.folder, self.lab, task, runner=self._run)
        finally:
            write(self.folder, released(self.lab, stubs=()))

    def _run(
        self, words: Sequence[str], variables: Mapping[str, str], cwd: Path, seconds: float
    ) -> Run:
        return self._warm.run(words, cwd, seconds)


@contextmanager
def workplace(lab: Lab, folder: Path, **variables: str) -> Iterator[Workplace]:
    """A folder with the reference."""
    write(folder, released(lab, stubs=()))
    checked = {"NUMBA_BOUNDSCHECK": "1", **variables}
    with Warm(folder, lab.files, environment(folder, 0, **checked)) as warm:
        yield Workplace(lab, folder, warm)
