"""The cases of the real Caffe's inputs and outputs, as parameters for tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SHARED

GOLDENS = SHARED / "goldens"
RTOL, ATOL = 1e-4, 1e-5  # the index's tolerance for every case


def cases(*kinds: str) -> list[Any]:
    """The cases of these kinds, each named; one skipped case where the goldens are absent."""
    if not (GOLDENS / "index.json").is_file():
        absent = pytest.mark.skip(reason=f"no goldens at {GOLDENS} (set MINICAFFE_SHARED)")
        return [pytest.param({}, id="absent", marks=absent)]
    index = json.loads((GOLDENS / "index.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in index if case["kind"] in kinds]


def file(case: dict[str, Any], what: str) -> str:
    """The absolute path of a case's prototxt, npz or solver."""
    return str(GOLDENS / case["files"][what])


@pytest.fixture
def golden_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory of our own, where the cases' relative paths lead to the goldens."""
    for name in ("files", "pylayers.py"):
        (tmp_path / name).symlink_to(GOLDENS / name)
    (tmp_path / "layers").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(GOLDENS))


def assert_close(expected: Any, actual: Any, what: str) -> None:
    """Shapes are equal, values within the tolerance of the index; NaN and infinity must match."""
    expected, actual = np.asarray(expected), np.asarray(actual)
    assert expected.shape == actual.shape, what
    np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=ATOL, err_msg=what)


def entries(arrays: Any, iteration: int, kind: str) -> Iterator[tuple[str, Any]]:
    """What an npz holds under `it<iteration>/<kind>/`: names and arrays."""
    prefix = f"it{iteration}/{kind}/"
    for key in arrays.files:
        if key.startswith(prefix):
            yield key.removeprefix(prefix), arrays[key]


def set_params(net: Any, arrays: Any) -> None:
    """Give the net the parameters stored under `param/<layer>/<index>`."""
    for key in arrays.files:
        if key.startswith("param/"):
            _, layer, index = key.split("/")
            net.params[layer][int(index)].data[...] = arrays[key]
