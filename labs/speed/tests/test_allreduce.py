"""Task allreduce: messages and bytes exactly, times beside this machine's clock."""

import tomllib
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

import pytest

from minicaffe.labs.clock import SIZES, Link, between_two
from minicaffe.labs.plugin import share_points

NAMES = ("small", "medium", "large")
ALL, NONE = 0.5, 2.0  # |log2(predicted / measured)|
FACTS = {"small": (1, 1.0), "medium": (2, 1.0), "large": (2, 1.0)}  # messages, sent


@cache
def measured() -> tuple[Link, dict[str, float]]:
    """The link between two ranks, and the seconds of each allreduce."""
    link, seconds = between_two()
    return link, dict(zip(NAMES, seconds, strict=True))


def given(lab_folder: Path, name: str) -> Any:
    """What the student wrote of one allreduce."""
    table = tomllib.loads((lab_folder / "allreduce.toml").read_text(encoding="utf-8"))
    assert {"messages", "sent", "factor"} <= table.get(name, {}).keys(), (
        f"allreduce.toml: [{name}] has not all of messages, sent and factor"
    )
    for key in ("messages", "sent", "factor"):
        assert isinstance(table[name][key], int | float), (
            f"allreduce.toml: [{name}] {key} = {table[name][key]!r}: a number is expected"
        )
    return table[name]


@pytest.mark.parametrize("name", NAMES)
def test_messages_and_bytes(lab_folder: Path, name: str) -> None:
    """What the algorithm says, whatever the machine."""
    mine, (messages, sent) = given(lab_folder, name), FACTS[name]
    way = "recursive doubling" if name == "small" else "the ring"
    assert mine["messages"] == messages, (
        f"allreduce.toml, {name}: {mine['messages']} messages one after the other, by {way} between"
        " two ranks it is another number: draw the steps"
    )
    assert mine["sent"] == pytest.approx(sent), (
        f"allreduce.toml, {name}: a rank sends {mine['sent']:g} of the array's bytes, by {way}"
        " between two ranks it is another share: 2 (P - 1) / P for a ring"
    )


@pytest.mark.parametrize("name", NAMES)
def test_prediction(lab_folder: Path, name: str) -> None:
    """Points fall from all at a factor of 1.4 to none at a factor of 4."""
    mine, (link, seconds) = given(lab_folder, name), measured()
    size = SIZES[NAMES.index(name)]
    predicted = mine["factor"] * link.seconds(mine["messages"], mine["sent"] * size)
    assert predicted > 0, f"allreduce.toml, {name}: messages, sent and factor give 0 ms"
    off = abs(log2(predicted / seconds[name]))
    share_points(
        (NONE - off) / (NONE - ALL),
        f"{name}, {size:,} bytes: predicted {1e3 * predicted:.3f} ms (alpha"
        f" {1e6 * link.alpha:.1f} us, beta {1e9 * link.beta:.3f} ns), measured"
        f" {1e3 * seconds[name]:.3f} ms: off by a factor of {2**off:.1f}, points end at 4",
    )
