"""answers.toml: what the inspector's door of the device cpu says of the student's own kernels."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from minicaffe.kernels.cpu import _inspect, gemm

WITHIN = 0.02  # of a quotient, which is written with two digits
SHOWN_BY = "minicaffe lab run inspect -model nets/mlp.prototxt -layer ip1 -kernel gemm.{}"


@cache
def hottest(name: str) -> Mapping[str, int]:
    """The counts of a kernel's innermost loop that has the most vector multiply-adds."""
    a, b, c = (np.ones((64, 64), np.float32) for _ in "abc")
    with _inspect.calls() as calls:
        getattr(gemm, name)(a, b, c, *([0] if name == "tile" else []))
    listing = _inspect.listing(calls[0])
    form = listing.forms.get("asm")
    if form is None or not form.loops:
        pytest.fail(f"there is no machine code of gemm.{name} to count: {listing.missing}")
    parents = {loop.parent for loop in form.loops}
    found = [loop.counts for loop in form.loops if loop.number not in parents]
    found = [counts for counts in found if counts["multiply-add"] and counts["vector"]]
    if not found:
        pytest.fail(
            f"no innermost loop of gemm.{name} has vector multiply-adds: which index counts there, "
            "and do neighbours in memory follow each other?"
        )
    return max(found, key=lambda counts: counts["multiply-add"])


@pytest.mark.parametrize("key", ["ikj_memory_per_multiply_add", "tile_memory_per_multiply_add"])
def test_quotient(key: str, lab_folder: Path) -> None:
    name = key.partition("_")[0]
    counts = hottest(name)
    check(lab_folder, key, counts["memory"] / counts["multiply-add"], WITHIN)


def test_stack(lab_folder: Path) -> None:
    check(lab_folder, "tile_stack", hottest("tile")["stack"], 0)


def check(folder: Path, key: str, expected: float, within: float) -> None:
    """The answer is there, is a number, and is what was counted."""
    try:
        answers = tomllib.loads((folder / "answers.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        pytest.fail(f"answers.toml cannot be read: {error}; a line is key = number")
    value = answers.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        pytest.fail(f"answers.toml: {key} is {value!r}: a number is expected")
    if not abs(value - expected) <= within:
        shown = SHOWN_BY.format(key.partition("_")[0])
        pytest.fail(f"answers.toml: {key} = {value} is not what is in your machine code: {shown}")
