"""Failures in one sentence: what a student reads instead of a traceback."""

from __future__ import annotations

import ast
import linecache
import re
import traceback
from pathlib import Path

import pytest

from minicaffe.errors import Error

LONGEST = 400  # characters


def of_exception(error: BaseException, folder: Path) -> str:
    """An exception in one sentence; where it comes from the student's file, with file and line."""
    if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
        error = error.__cause__  # what kept the test file from being imported
    stub = _stub(error)
    if stub:
        return stub
    if isinstance(error, SystemExit):
        return f"{_place(error, folder)}the code ends the process (sys.exit): return instead"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SyntaxError):
        name = _short(error.filename or "", folder)
        return f"{name}:{error.lineno}: {type(error).__name__}: {error.msg}"
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return _asserted(error, folder)
    message = _first(str(error))
    if isinstance(error, Error) and _begins_with_place(message):
        return _cut(message.replace(f"{folder}/", ""))
    name = "" if isinstance(error, Error) else f"{type(error).__name__}: "
    if isinstance(error, RecursionError):
        message = "it calls itself without end"
    return _cut(f"{_place(error, folder)}{name}{message}".replace(f"{folder}/", ""))


def _stub(error: BaseException | None) -> str:
    """The sentence of a function that is still to be written, if that is behind an error."""
    seen = 0
    while error is not None and seen < 10:
        found = re.search(r"lab \S+, task [^:\n]+: \S+ is yours to write", str(error))
        if found:
            return found[0]
        error, seen = error.__cause__ or error.__context__, seen + 1
    return ""


def _asserted(error: BaseException, folder: Path) -> str:
    """The message of an assertion; without one the line of the test."""
    message = _first(str(error))
    message = message.removeprefix("Failed: ").removeprefix("AssertionError: ")
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _is_below(frame.filename, folder)]
    if ours and frames[-1] is ours[-1]:  # an assert of the student's own
        return _cut(f"{_short(ours[-1].filename, folder)}:{ours[-1].lineno}, {ours[-1].name}: "
                    f"AssertionError: {message or ours[-1].line}")  # fmt: skip
    if message and not message.startswith("assert "):
        return _cut(message)
    for frame in reversed(frames):
        if Path(frame.filename).name.startswith("test_"):
            return _cut(f"{frame.name}: {message or _statement(frame)}")
    return _cut(message or "an assertion failed")


def _statement(frame: traceback.FrameSummary) -> str:
    """The whole statement at a frame, on one line."""
    text = "".join(linecache.getlines(frame.filename))
    for node in ast.walk(ast.parse(text)) if text else ():
        if isinstance(node, ast.Assert) and node.lineno == frame.lineno:
            return f"assert {ast.unparse(node.test)}"
    return frame.line or ""


def _place(error: BaseException, folder: Path) -> str:
    """ "distributed/ring.py:210, _run: " where the student's code stood, if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if _is_below(frame.filename, folder):
            inside = "" if frame.name == "<module>" else f", {frame.name}"
            return f"{_short(frame.filename, folder)}:{frame.lineno}{inside}: "
    return ""


def _is_below(name: str, folder: Path) -> bool:
    return Path(name).is_relative_to(folder)


def _short(name: str, folder: Path) -> str:
    return str(Path(name).relative_to(folder)) if _is_below(name, folder) else name


def _begins_with_place(message: str) -> bool:
    return re.match(r"\S+\.\w+:\d+", message) is not None


def _first(message: str) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0] if lines else ""


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST else message[: LONGEST - 4] + " ..."


def of_stacks(text: str, folder: Path) -> str:
    """The student's line in what faulthandler wrote of all threads: "kernels/cpu/relu.py:31"."""
    for name, line in re.findall(r'File "([^"]+)", line (\d+)', text):
        if _is_below(name, folder):
            return f"{_short(name, folder)}:{line}"
    return ""
