"""Files of the rooms by the names that the inspector shows: "layers/relu.py", "minicaffe/layer.py".

A file of MINICAFFE_PATH has the name of the one whose place it takes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import minicaffe

from ..overlay import ROOMS


class Code(NamedTuple):
    """Where a class or a function stands: lines from 1, 0 where that is not known."""

    file: str
    first: int
    last: int


def file_name(path: str) -> str:
    """What to call a file: from the folder that holds the rooms, or, of a user's, its path."""
    for entry in minicaffe.__path__:
        below = os.path.relpath(path, entry)
        if os.path.isabs(path) and not below.startswith(os.pardir):
            first = below.split(os.sep)[0]
            name = below if first in ROOMS else os.path.join("minicaffe", below)
            return name.replace(os.sep, "/")
    return path


def file_text(name: str) -> str | None:
    """The text of a file that `file_name` named; None where it cannot be read."""
    below = name.removeprefix("minicaffe/")
    for entry in minicaffe.__path__:
        path = os.path.join(entry, *below.split("/")) if not os.path.isabs(name) else name
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except (OSError, UnicodeDecodeError):
            continue
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
