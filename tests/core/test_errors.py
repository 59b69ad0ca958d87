"""What is said when an optional library is missing."""

import sys

import pytest

from minicaffe.errors import Error, MissingExtra, extra


def test_a_module_that_is_there_is_returned() -> None:
    assert extra("json.decoder", "spark", "a test") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["h5py", "h5py._hl.files"])
def test_a_library_that_is_missing_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = r"^a test needs h5py: pip install 'minicaffe\[hdf5\]'$"
    with pytest.raises(MissingExtra, match=message) as caught:
        extra(module, "hdf5", "a test")
    assert isinstance(caught.value, Error)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ImportError)
