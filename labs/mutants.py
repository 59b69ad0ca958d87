"""Mutants: a function with one small fault, such as a student makes; good tests see each of them.

+=  -> -= and =      -= -> +=        + <-> -       *  -> +
<  <-> <=            >  <-> >=       == <-> !=
a number n -> n + 1  True <-> False  a statement left out
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

from .release import functions_of, is_docstring

BINARY: dict[type, type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}
COMPARED: dict[type, type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
LEFT_OUT = (ast.Assign, ast.AugAssign, ast.Expr, ast.Raise, ast.Return, ast.If)
LONGEST = 70  # characters of a name's parts


@dataclass(frozen=True)
class Mutant:
    """A file with one fault; its name says where and which, and stays when lines move."""

    name: str
    text: str


class Change(NamedTuple):
    """A part of a function, the text that it becomes, and both in short for the name."""

    part: ast.stmt | ast.expr
    made: str
    old: str
    new: str


def mutants(text: str, function: str) -> list[Mutant]:
    """All mutants of one function of a file."""
    node = functions_of(text)[function]
    content = text.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found, names = [], Counter[str]()
    body = node.body[1:] if is_docstring(node.body[0]) else node.body
    for statement in body:
        for part, made, old, new in _changes(statement):
            name = f"{function}: {old} -> {new}"
            names[name] += 1
            if names[name] > 1:
                name += f" #{names[name]}"
            assert part.end_lineno is not None and part.end_col_offset is not None
            begin = starts[part.lineno - 1] + part.col_offset
            end = starts[part.end_lineno - 1] + part.end_col_offset
            found.append(Mutant(name, (content[:begin] + made.encode() + content[end:]).decode()))
    return found


def _changes(node: ast.AST) -> Iterator[Change]:
    """What can become of a node, and of all below it."""
    if isinstance(node, ast.stmt):
        yield from _of_statement(node)
    elif isinstance(node, ast.expr):
        yield from _of_expression(node)
    if isinstance(node, ast.JoinedStr):  # its parts have no places of their own in Python 3.11
        return
    skipped = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            for change in _changes(child):
                number = isinstance(change.part, ast.Constant) and " in " not in change.new
                if number and isinstance(node, ast.stmt):
                    change = change._replace(new=f"{change.new} in {_line(node)}")
                yield change


def _of_statement(node: ast.stmt) -> Iterator[Change]:
    if isinstance(node, ast.AugAssign):
        others: list[ast.stmt] = []
        if isinstance(node.op, ast.Add | ast.Sub):
            other = copy(node)
            other.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            others.append(other)
        if isinstance(node.op, ast.Add):
            others.append(ast.Assign([node.target], node.value, lineno=node.lineno))
        for each in others:
            yield Change(node, ast.unparse(each), _line(node), _line(each))
    if isinstance(node, LEFT_OUT) and not is_docstring(node):
        yield Change(node, "pass", _line(node), "pass")


def _of_expression(node: ast.expr) -> Iterator[Change]:
    changed: list[ast.expr] = []
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        other = copy(node)
        other.op = BINARY[type(node.op)]()
        changed.append(other)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
        compared = copy(node)
        compared.ops = [COMPARED[type(node.ops[0])]()]
        changed.append(compared)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        changed.append(ast.Constant(not node.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        changed.append(ast.Constant(node.value + 1))
    for each in changed:
        text = ast.unparse(each)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            text = f"({text})"  # it binds less than what stood there
        yield Change(node, text, _line(node), _line(each))


def _line(node: ast.AST) -> str:
    """The first line of a node's text, cut."""
    line = ast.unparse(node).splitlines()[0]
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
