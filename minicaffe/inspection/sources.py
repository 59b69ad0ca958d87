"""Where classes and functions stand in the files of the rooms, and the text of these."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .listing.names import file_name, file_path


class Code(NamedTuple):
    """Where a class or a function stands: lines from 1, 0 where that is not known."""

    file: str
    first: int
    last: int


def file_text(name: str) -> str | None:
    """The text of a file that `file_name` named; None where it cannot be read."""
    try:
        with open(file_path(name), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def code_of(thing: Callable[..., Any] | type) -> Code:
    """Where a class or function is defined, from its `class` or `def`, decorators left out."""
    plain = inspect.unwrap(thing)
    try:
        lines, first = inspect.getsourcelines(plain)
        path = inspect.getsourcefile(plain) or ""
    except (OSError, TypeError):  # written in C, or its file is gone
        return Code("", 0, 0)
    words = ("class ",) if isinstance(plain, type) else ("def ", "async def ")
    above = next((n for n, line in enumerate(lines) if line.lstrip().startswith(words)), 0)
    return Code(file_name(os.path.abspath(path)), first + above, first + len(lines) - 1)
