"""Mutants: one small fault each, with a name that stays; and the commands that a handout tells."""

import ast

from minicaffe.labs.handout import commands
from minicaffe.labs.mutants import mutants

SOURCE = '''
def f(x: int, y=3) -> int:
    """Says 1 + 1."""
    total = 0  # ä
    if x < 2:
        total += x * 4
    say(f"{x} is {1 + 1}", done=True)
    return total - 1
'''


def test_every_operator_number_and_statement_has_its_mutants() -> None:
    found = mutants(SOURCE, "f")
    assert [mutant.name for mutant in found] == [
        "f: total = 0 -> pass",
        "f: 0 -> 1 in total = 0",
        "f: if x < 2: -> pass",
        "f: x < 2 -> x <= 2",
        "f: 2 -> 3 in if x < 2:",
        "f: total += x * 4 -> total -= x * 4",
        "f: total += x * 4 -> total = x * 4",
        "f: total += x * 4 -> pass",
        "f: x * 4 -> x + 4",
        "f: 4 -> 5 in total += x * 4",
        "f: say(f'{x} is {1 + 1}', done=True) -> pass",
        "f: True -> False in say(f'{x} is {1 + 1}', done=True)",
        "f: return total - 1 -> pass",
        "f: total - 1 -> total + 1",
        "f: 1 -> 2 in return total - 1",
    ]
    texts = [mutant.text for mutant in found]
    assert len({SOURCE, *texts}) == len(texts) + 1
    for text in texts:
        ast.parse(text)
    assert "    total += (x + 4)\n" in texts[8] and "# ä" in texts[8]


def test_names_stay_when_lines_move_and_equal_ones_are_counted() -> None:
    moved = SOURCE.replace("    total = 0  # ä\n", "    # more\n\n    total = 0\n")
    assert [m.name for m in mutants(moved, "f")] == [m.name for m in mutants(SOURCE, "f")]
    twice = "def f(a):\n    return (a + 1) * (a + 1)\n"
    assert [m.name for m in mutants(twice, "f") if "a - 1" in m.name] == [
        "f: a + 1 -> a - 1",
        "f: a + 1 -> a - 1 #2",
    ]


def test_the_commands_of_a_handout() -> None:
    text = """
Say `minicaffe lab`, then

    pip install minicaffe
    minicaffe lab start ring    and more words
    cd ring

```sh
$ minicaffe lab check bounds
minicaffe lab debug bounds
minicaffe train -solver FILE ...
task  points
```
minicaffe is no command here
"""
    assert commands(text) == ["minicaffe lab start ring", "cd ring", "minicaffe lab check bounds"]
