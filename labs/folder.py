"""The student's folder: started from a lab, found by its .lab.json, looked at before tests."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from minicaffe import __version__
from minicaffe.errors import shown
from minicaffe.overlay import VARIABLE

from .course import Lab, LabError, Task, lab_names, load
from .release import functions_of, handed_out, is_blank

MARK = ".lab.json"
CACHE = ".cache"


@dataclass(frozen=True)
class Folder:
    """A folder in which somebody works at a lab."""

    path: Path
    lab: Lab

    def environment(self) -> dict[str, str]:
        """What makes minicaffe take the files of this folder, and keep its kernels in it."""
        return {VARIABLE: str(self.path), "MINICAFFE_CACHE_DIR": str(self.path / CACHE)}

    def written(self, tasks: tuple[Task, ...] | None = None) -> dict[str, tuple[int, int]]:
        """For each file: how many of its functions are written, and how many there are to write."""
        found = {}
        for name in self.lab.files:
            wanted = {
                function
                for task in (tasks or self.lab.tasks)
                if task.file == name
                for function in task.write
            }
            done = 0
            try:
                functions = functions_of((self.path / name).read_text(encoding="utf-8"))
            except (OSError, SyntaxError, ValueError):
                functions = {}
            for function in wanted & functions.keys():
                done += not is_blank(functions[function])
            found[name] = (done, len(wanted))
        return found


def start(lab: Lab, path: Path, force: bool = False) -> list[str]:
    """Put the files of a lab into a folder; the paths of what was kept aside.

    Raises LabError if one of them is there already; with `force` it is kept as NAME.1, NAME.2 ...
    """
    files = handed_out(lab)
    there = [file.path for file in files if (path / file.path).exists()]
    if there and not force:
        raise LabError(
            f"{shown(str(path / there[0]))} is there already: minicaffe lab start {lab.name} "
            f"other-folder, or -force (keeps it as {Path(there[0]).name}.1)"
        )
    blocked = [part for part in (path, *path.parents) if part.exists() and not part.is_dir()]
    if blocked:
        raise LabError(f"{shown(str(blocked[0]))} is a file: a folder is expected")
    kept = []
    for file in files:
        target = path / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.read_bytes() != file.content:
            number = 1
            while (aside := target.with_name(f"{target.name}.{number}")).exists():
                number += 1
            target.rename(aside)
            kept.append(shown(str(aside)))
        target.write_bytes(file.content)
    hashes = {file.path: hashlib.sha256(file.content).hexdigest() for file in files}
    mark = {"lab": lab.name, "variant": lab.variant, "version": __version__, "files": hashes}
    (path / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
    return kept


def find(path: Path | None = None) -> Folder:
    """The student's folder that holds `path` (default: the working directory).

    Raises LabError if there is none.
    """
    begin = (path or Path.cwd()).absolute()
    for place in (begin, *begin.parents):
        if (place / MARK).is_file():
            return _read(place)
    raise LabError(
        f"{begin} is no lab's folder: minicaffe lab start LAB makes one, and its commands are for "
        f"inside (labs: {', '.join(lab_names())})"
    )


def _read(path: Path) -> Folder:
    try:
        mark = json.loads((path / MARK).read_text(encoding="utf-8"))
        name, variant = mark["lab"], mark.get("variant", "")
    except (OSError, ValueError, KeyError, TypeError):
        raise LabError(
            f"{shown(str(path / MARK))} cannot be read: minicaffe lab start LAB {path} -force "
            "writes it anew"
        ) from None
    return Folder(path, load(str(name), str(variant)))


def fault(folder: Path, lab: Lab, task: Task) -> tuple[str, str]:
    """What can be said of a task's file without running it: (kind, one sentence); ("", "") if fine.

    Kinds: "missing", "unreadable" (no Python), "forbidden" (an import).
    """
    path = folder / task.file
    if not path.is_file():
        return "missing", (
            f"{task.file} is not here: minicaffe lab start {lab.name} other-folder brings it"
        )
    if path.suffix != ".py":
        return "", ""
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except SyntaxError as error:
        return "unreadable", f"{task.file}:{error.lineno}: {type(error).__name__}: {error.msg}"
    except ValueError as error:
        return "unreadable", f"{task.file}: it is no text of Python: {error}"
    absent = [name for name in task.write if name not in functions_of(text)]
    if absent:
        return "missing", f"{task.file} has no function {absent[0]} any more: the tests call it"
    before = _imported(ast.parse(_as_given(lab, task.file)))
    for name, line in _imported(tree).items():
        if name not in before and name not in lab.allow:
            allowed = ", ".join(sorted(lab.allow))
            return "forbidden", (
                f"{task.file}:{line} imports {name}, which this lab does not allow "
                f"(it allows: {allowed or 'nothing more than the file had'})"
            )
    return "", ""


def _as_given(lab: Lab, name: str) -> str:
    return next(file.content for file in handed_out(lab) if file.path == name).decode()


def _imported(tree: ast.Module) -> dict[str, int]:
    """The libraries that a file imports anywhere, each with its line; its own room apart."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name.partition(".")[0], node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.setdefault((node.module or "").partition(".")[0], node.lineno)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "__import__"
        ):
            found.setdefault("__import__", node.lineno)
    return found
