"""Comparisons of arrays that fail with one sentence, which names the usual cause too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def close(
    name: str,
    got: Any,
    expected: Any,
    case: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Fail unless |got - expected| <= atol + rtol |expected| everywhere; NaN equals NaN.

    The sentence: "dx[0, 1]: yours -0.05, expected 0.1355 (case); 3 of 6 differ: cause".
    """
    __tracebackhide__ = True
    inside = f" ({case})" if case else ""
    if got is None:
        pytest.fail(f"{name} is None{inside}: is there a `return`?")
    try:
        mine, theirs = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    except (TypeError, ValueError):
        pytest.fail(f"{name} is a {type(got).__name__} without numbers{inside}")
    if mine.shape != theirs.shape:
        pytest.fail(f"{name} has shape {mine.shape}, expected {theirs.shape}{inside}")
    with np.errstate(all="ignore"):
        wrong = ~(np.isclose(mine, theirs, rtol, atol, equal_nan=True))
    if not wrong.any():
        return
    first = tuple(int(index) for index in np.argwhere(wrong)[0])
    place = f"[{', '.join(map(str, first))}]" if first else ""
    cause = _cause(mine, theirs, wrong)
    pytest.fail(
        f"{name}{place}: yours {_number(mine[first])}, expected {_number(theirs[first])}{inside}; "
        f"{int(wrong.sum())} of {wrong.size} differ{f': {cause}' if cause else ''}"
    )


def gradient(
    name: str,
    analytic: Any,
    numeric: Any,
    case: str = "",
    rtol: float = 2e-2,
    atol: float = 1e-3,
) -> None:
    """Fail unless what backward says is what differences of forward say.

    The sentence: "dW[2, 0]: backward says 0.1, differences say 0.2 (factor 0.5; case)".
    """
    __tracebackhide__ = True
    mine, theirs = np.asarray(analytic, np.float64), np.asarray(numeric, np.float64)
    inside = f"; {case}" if case else ""
    if mine.shape != theirs.shape:
        pytest.fail(f"{name} has shape {mine.shape}, expected {theirs.shape}{inside}")
    wrong = ~(np.isclose(mine, theirs, rtol, atol))
    if not wrong.any():
        return
    first = tuple(int(index) for index in np.argwhere(wrong)[0])
    place = f"[{', '.join(map(str, first))}]" if first else ""
    factor = mine[first] / theirs[first] if theirs[first] else np.inf
    cause = _cause(mine, theirs, wrong)
    pytest.fail(
        f"{name}{place}: backward says {_number(mine[first])}, differences of forward say "
        f"{_number(theirs[first])} (factor {factor:.3g}{inside})"
        f"{f': {cause}' if cause else ''}"
    )


def _number(value: Any) -> str:
    return f"{float(value):.6g}"


def _cause(mine: Any, theirs: Any, wrong: Any) -> str:
    """What usually gives such a difference; "" if nothing is known."""
    bad, good = mine[wrong], theirs[wrong]
    if np.isnan(bad).all():
        return "is it written at all?"
    if not np.isfinite(bad).all():
        return ""
    if not bad.any():
        return "yours is 0 there: is it written, and where it must not be overwritten, added to?"
    if (good == 0).any():
        return ""
    factors = bad / good
    factor = float(np.median(factors))
    if not np.allclose(factors, factor, rtol=1e-3):
        offset = float((bad - good)[0])
        if bad.size < 2 or not np.allclose(bad - good, offset, rtol=1e-3):
            return ""
        return f"yours is off by the same {offset:.4g}: was something there to be overwritten?"
    told = _by_factor(factor, {int(size) for size in theirs.shape if size > 1})
    return told or (bad.size > 1) * f"yours is {factor:.4g} times as large everywhere it differs"


def _by_factor(factor: float, sizes: set[int]) -> str:
    known = {
        -1.0: "the sign is wrong",
        2.0: "yours is twice as large: is something counted twice, or added that replaces?",
        0.5: "yours is half of it",
    }
    for value, words in known.items():
        if np.isclose(factor, value, rtol=1e-3):
            return words
    for size in sorted(sizes):
        if np.isclose(factor, size, rtol=1e-3):
            return f"yours is {size} times as large: a mean over {size} that is missing?"
        if np.isclose(factor, 1 / size, rtol=1e-3):
            return f"yours is 1/{size} of it: divided by {size} once too often?"
    return ""
