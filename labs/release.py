"""The student's version of a file: the product's, with some functions still to be written."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .course import Lab, LabError, Task

Function = ast.FunctionDef | ast.AsyncFunctionDef


def blank(text: str, names: Sequence[str], message: str) -> str:
    """Cut out the bodies of functions; dotted names are methods.

    Decorators, signature and docstring stay. What is left raises NotImplementedError with
    "MESSAGE: NAME is yours to write". Raises LabError for a function that is not there.
    """
    lines = text.splitlines(keepends=True)
    functions = functions_of(text)
    cuts = []
    for name in names:
        if name not in functions:
            raise LabError(f"{message}: there is no function {name} to cut out")
        body = functions[name].body
        first = body[1] if is_docstring(body[0]) and len(body) > 1 else body[0]
        if is_docstring(body[0]) and len(body) == 1:
            raise LabError(f"{message}: {name} has no body to cut out")
        start = _begin(lines, body[0], first)
        cuts.append((start, body[-1].end_lineno or start, first.col_offset, name))
    for start, end, indent, name in sorted(cuts, reverse=True):
        said = f'raise NotImplementedError("{message}: {name} is yours to write")\n'
        lines[start:end] = [" " * indent + said]
    return "".join(lines)


def _begin(lines: list[str], docstring: ast.stmt, first: ast.stmt) -> int:
    """The index of the line where a body begins, comments above it included."""
    decorators: list[ast.expr] = getattr(first, "decorator_list", [])
    start = min([first.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    if docstring is not first:
        return docstring.end_lineno or start
    while lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return start


def functions_of(text: str) -> dict[str, Function]:
    """The functions of a module and the methods of its classes, by their dotted names."""
    found: dict[str, Function] = {}

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, Function):
                found[prefix + node.name] = node
            elif isinstance(node, ast.ClassDef):
                walk(node.body, f"{prefix}{node.name}.")

    walk(ast.parse(text).body, "")
    return found


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a string on its own."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_blank(function: Function) -> bool:
    """Whether a function is as `blank` left it."""
    last = function.body[-1]
    return (
        isinstance(last, ast.Raise)
        and isinstance(last.exc, ast.Call)
        and ast.unparse(last.exc.func) == "NotImplementedError"
        and "is yours to write" in ast.unparse(last.exc)
    )


@dataclass(frozen=True)
class Given:
    """A file that a student's folder has, as it is released."""

    path: str
    content: bytes


def released(lab: Lab, stubs: Sequence[Task] | None = None) -> list[Given]:
    """The files that students write in, all of them or those of `stubs` still to be written.

    So `stubs=()` gives the reference. What is given besides, and belongs to no task, comes along.
    """
    stubs = lab.tasks if stubs is None else stubs
    found = []
    for name in lab.files:
        tasks = [task for task in lab.tasks if task.file == name]
        given = [task for task in tasks if task.source == "given"]
        if given:
            folder = "given" if set(given) & set(stubs) else "solution"
            found.append(Given(name, (lab.folder / folder / name).read_bytes()))
            continue
        text = lab.reference_text(tasks[0])
        for task in tasks:
            if task in stubs:
                text = blank(text, task.write, f"lab {lab.name}, task {task.name}")
        found.append(Given(name, text.encode()))
    return found + [each for each in _files(lab, "given", "") if each.path not in lab.files]


def handed_out(lab: Lab) -> list[Given]:
    """All that `lab start` puts into a folder: files to write, the handout, nets, given files."""
    handout = lab.fill((lab.folder / "README.md").read_text(encoding="utf-8"))
    return [*released(lab), Given("README.md", handout.encode()), *_files(lab, "nets", "nets/")]


def _files(lab: Lab, name: str, below: str) -> list[Given]:
    """The files of a folder of the lab, as they will be below a folder of the student's."""
    folder, found = lab.folder / name, []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _is_left_over(path):
            place, content = path.relative_to(folder).as_posix(), path.read_bytes()
            if path.suffix in (".py", ".prototxt"):
                content = lab.fill(content.decode()).encode()
            found.append(Given(below + lab.fill(place), content))
    return found


def _is_left_over(path: Path) -> bool:
    return path.suffix == ".pyc" or "__pycache__" in path.parts
