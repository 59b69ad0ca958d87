"""Highlighting: the lines of a text as words with a colour's letter, for the page to put together.

Pygments finds the words. What it says is kept as data, not as HTML, so that no text of a user's
file is ever read as markup.
"""

from __future__ import annotations

from typing import Any

from ..errors import extra

# What is told apart: kinds of Pygments' tokens, the more special ones first, and their letters.
LETTERS = (
    (("Comment",), "c"),
    (("Literal", "String", "Doc"), "d"),
    (("Literal", "String"), "s"),
    (("Literal", "Number"), "n"),
    (("Keyword",), "k"),
    (("Operator", "Word"), "k"),
    (("Name", "Function"), "f"),
    (("Name", "Class"), "f"),
    (("Name", "Decorator"), "a"),
)

# A line: letter, word, letter, word, ... with "" for what has no colour.
Line = list[str]


def highlighted(text: str, language: str) -> list[Line]:
    """The lines of a text in "python" or "prototxt". Raises MissingExtra without Pygments."""
    lexers = extra("pygments.lexers", "inspect", "the inspector's page")
    if language == "prototxt":
        lexer = _prototxt_lexer()
    else:
        lexer = lexers.PythonLexer(stripnl=False, ensurenl=False)
    lines: list[Line] = [[]]
    for kind, words in lexer.get_tokens(text):
        letter = _letter(tuple(kind))
        for number, word in enumerate(words.split("\n")):
            if number:
                lines.append([])
            _append(lines[-1], letter, word)
    if not lines[-1]:
        lines.pop()
    return lines


def _append(line: Line, letter: str, word: str) -> None:
    """Add a word, to the last one if that has the same letter."""
    if not word:
        return
    if line and line[-2] == letter:
        line[-1] += word
    else:
        line += [letter, word]


def _letter(kind: tuple[str, ...]) -> str:
    return next((letter for start, letter in LETTERS if kind[: len(start)] == start), "")


def _prototxt_lexer() -> Any:
    """Protobuf's text format; Pygments itself knows the language of .proto files alone."""
    lexing = extra("pygments.lexer", "inspect", "the inspector's page")
    kinds = extra("pygments.token", "inspect", "the inspector's page")
    rules = [
        (r"#[^\n]*", kinds.Comment),
        (r'"(\\.|[^"\\\n])*"?', kinds.String),
        (r"'(\\.|[^'\\\n])*'?", kinds.String),
        (r"[A-Za-z_]\w*(?=\s*\{)", kinds.Name.Function),
        (r"[A-Za-z_]\w*(?=\s*:)", kinds.Text),
        (r"[A-Za-z_]\w*", kinds.Keyword),
        (r"[-+]?\.?\d[\w.+-]*", kinds.Number),
        (r"\s+|.", kinds.Text),
    ]
    lexer = type("PrototxtLexer", (lexing.RegexLexer,), {"tokens": {"root": rules}})
    return lexer(stripnl=False, ensurenl=False)
