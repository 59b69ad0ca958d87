"""Short names: of a file as the inspector's data has it, and of Numba's symbols."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import minicaffe
from minicaffe.overlay import ROOMS, folders

_PACKAGE = os.path.dirname(os.path.abspath(minicaffe.__file__))


@cache
def file_name(path: str) -> str:
    """A file by its path from the folder that holds the rooms: "kernels/cpu/relu.py".

    So are the files of MINICAFFE_PATH, in whose folders they take the product's places; and the
    files of another checkout, where the same text was compiled before. Other files keep their path.
    """
    if not os.path.isabs(path):
        return path
    for folder in folders():
        if path.startswith(folder + os.sep):
            return _in_the_house(os.path.relpath(path, folder))
    if path.startswith(_PACKAGE + os.sep):
        return _in_the_house(os.path.relpath(path, _PACKAGE))
    for room in (*ROOMS, "minicaffe"):
        _, found, below = path.rpartition(f"{os.sep}{room}{os.sep}")
        if found and file_path(f"{room}/{below}"):
            return f"{room}/{below}"
    return path


def file_path(name: str) -> str:
    """Where the file of such a name is, "" if there is none; MINICAFFE_PATH comes first."""
    if os.path.isabs(name):
        return name if os.path.isfile(name) else ""
    inside = name.removeprefix("minicaffe/")
    places = [os.path.join(folder, inside) for folder in (*folders(), _PACKAGE)]
    places.append(os.path.join(os.path.dirname(_PACKAGE), name))
    return next(filter(os.path.isfile, places), "")


def _in_the_house(below: str) -> str:
    return below if below.split(os.sep)[0] in ROOMS else f"minicaffe/{below}"


def kernel_place(body: Callable[..., Any]) -> tuple[str, str, int]:
    """A kernel's name, such as "relu._rectify", its file, and the line of its `def`."""
    assert isinstance(body, FunctionType)
    module = body.__module__.split(".")
    if "kernels" in module[:-2]:  # minicaffe.kernels.<device>.<family>
        module = module[module.index("kernels") + 2 :]
    name = f"{'.'.join(module)}.{body.__name__}"
    first, _ = _lines(body)
    return name, file_name(body.__code__.co_filename), first


def last_line(body: Callable[..., Any]) -> int:
    """The last line of a function."""
    return _lines(body)[1]


def _lines(body: Callable[..., Any]) -> tuple[int, int]:
    """The lines of a function from its `def`, which stands below its decorators."""
    begin = body.__code__.co_firstlineno
    try:
        text, _ = inspect.getsourcelines(body)
    except OSError:  # typed in, and forgotten
        return begin, max(line or begin for *_, line in body.__code__.co_lines())
    head = next((at for at, row in enumerate(text) if row.lstrip().startswith("def ")), 0)
    return begin + head, begin + len(text) - 1


@cache
def symbol_name(symbol: str) -> str:
    """A function's name without its module and types: "multiply_packed".

    Numba writes _ZN and each word of the name after its length; then B and a tag that tells
    versions apart, and the types of the arguments.
    """
    symbol = symbol.strip('"')
    _, found, inner = symbol.rpartition("_ZN08NumbaEnv")
    if symbol.startswith(".const."):
        return f"text of {symbol_name('_ZN' + inner)}" if found else symbol.removeprefix(".const.")
    words = _words(inner if found else symbol.removeprefix("_ZN"))
    if not words or not symbol.startswith("_ZN"):
        return symbol
    return f"environment of {words[-1]}" if found else words[-1]


def _words(text: str) -> list[str]:
    words = []
    while match := re.match(r"(\d+)", text):
        end = match.end() + int(match[1])
        words.append(text[match.end() : end])
        text = text[end:]
    return words
