"""What people get wrong in a kernel: each ends in one sentence, with file, line and kernel."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from minicaffe import set_num_threads
from minicaffe.errors import KernelError
from minicaffe.machine.threads import num_threads

KERNELS = """import math

import numpy as np
from numba import prange

from minicaffe.kernels.cpu._compile.jit import inner, kernel


@inner
def scaled(x, factor):
    return factor * x


@kernel
def other(x, y):
    for i in prange(y.size):
        y[i] = x[i]


@kernel
def tried(x, y):
    for i in prange(y.size):
        y[i] = scaled(x[i], 2)


def forward(x, y):
    tried(x, y)
"""

WRONG = [
    ("= scaled(x", "= scalde(x",
     r"23, kernel tried: name 'scalde' is not defined; did you mean 'scaled'"),
    ("return factor * x", "return facto * x", r"11, kernel tried: name 'facto' is not defined"),
    ("= scaled(x[i], 2)", "= np.maximun(x[i], 0)",
     r"23, kernel tried: .*no attribute 'maximun'; did you mean 'maximum'"),
    ("= scaled(x[i], 2)", "= math.rsqrt(x[i])", r"23, kernel tried: .*no attribute 'rsqrt'"),
    ("for i in prange(y.size):\n        y[i] = scaled(x[i], 2)",
     "raise NotImplementedError('tried is yours to write')",
     r"20, kernel tried: tried is yours to write$"),
    ("= scaled(x[i], 2)", "= x[i] + 'a'",
     r"23, kernel tried: there is no add\(float32, 'a'\): these types"),
    ("= scaled(x[i], 2)", "= 1j * x[i]",
     r"23, kernel tried: cannot store complex128 in array\(float32"),
    ("= scaled(x[i], 2)", "= scaled(x[i])",
     r"23, kernel tried: .*missing a required argument: 'factor'"),
    ("        y[i] = scaled(x[i], 2)", "        other(x, y)",
     r"23, kernel tried: 'other' is a kernel, .*make it @inner"),
    ("in prange(y.size):\n        y[i] = scaled", "in range(y.size):\n        y[i] = scaled",
     r"\d+: the last statement of kernel tried must be its one loop over prange"),
    ("def tried(x, y):", "def tried(x, y, factor):",
     r"27, kernel tried: takes 3 arguments, by position \(x, y, factor\), it is called with 2"),
    ("y[i] = scaled", "y[i, 0] = scaled",
     r"23, kernel tried: cannot index array\(float32, 1d, C\) with 2 indices"),
    ("def tried(x, y):", "def tried(x, y):\n    import os",
     r"\d+, kernel tried: an import in a kernel: write it at the head"),
    ("= scaled(x[i], 2)", "= sum(v for v in x)",
     r"23, kernel tried: .*cannot be compiled: write the loop out"),
    ("prange(y.size):\n        y[i] = s", "prange(y.sise):\n        y[i] = s",
     r"22, kernel tried: Unknown attribute 'sise'"),
]  # fmt: skip


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.filterwarnings("ignore:Assigning a code object of non:DeprecationWarning")  # Numba's
@pytest.mark.parametrize(("old", "new", "wanted"), WRONG, ids=lambda text: text[:24])
def test_a_mistake_in_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, wanted: str
) -> None:
    """One line, of which the place is the first words."""
    assert old in KERNELS
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_kernels.py").write_text(KERNELS.replace(old, new, 1))
    sys.modules.pop("own_kernels", None)
    importlib.invalidate_caches()
    module = importlib.import_module("own_kernels")
    with pytest.raises(KernelError) as caught:
        module.forward(np.ones(8, np.float32), np.ones(8, np.float32))
    del sys.modules["own_kernels"]
    assert re.search(rf"own_kernels\.py:{wanted}", str(caught.value))
    assert "\n" not in str(caught.value)
