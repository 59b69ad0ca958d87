"""The functions of the lab's list, in float64: what kernels are compared with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

F64 = NDArray[np.float64]

FORMULAS: dict[str, Callable[[Any], Any]] = {
    "Mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "HardSigmoid": lambda x: np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    "HardSwish": lambda x: x * np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    "Gelu": lambda x: x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "Selu": lambda x: 1.0507009873554805 * np.where(
        x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))
    ),
    "LogSigmoid": lambda x: -np.logaddexp(0, -x),
    "Isru": lambda x: x / np.sqrt(1 + x**2),
    "Snake": lambda x: x + np.sin(x) ** 2,
    "Lisht": lambda x: x * np.tanh(x),
    "BentIdentity": lambda x: (np.sqrt(x**2 + 1) - 1) / 2 + x,
    "Squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
}  # fmt: skip
STEP = 1e-4


def drawn(folder: Path) -> str:
    """The type that this folder's course has drawn: the one whose files are there."""
    for name in FORMULAS:
        if (folder / "kernels" / "reference" / f"{module_of(name)}.py").exists():
            return name
    pytest.fail(f"kernels/reference has none of {', '.join(map(module_of, FORMULAS))}")


def module_of(name: str) -> str:
    """HardSwish -> hard_swish."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def values(name: str, x: Any) -> F64:
    """The function."""
    found: F64 = FORMULAS[name](np.asarray(x, np.float64))
    return found


def slopes(name: str, x: Any) -> F64:
    """Its slope, by differences in float64; x must be away from kinks."""
    x = np.asarray(x, np.float64)
    return (values(name, x + STEP) - values(name, x - STEP)) / (2 * STEP)
