"""A card has one backend in a process, whoever asks for it first, and how many do at once."""

import time

import pytest

from minicaffe.kernels.cuda import _backend
from minicaffe.kernels.cuda._backend.emulator import Emulator
from tests.ranks import at_once


def test_threads_that_come_at_once_get_the_same_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICAFFE_CUDA", "emulate")
    made = Emulator.__init__

    def slowly(self: Emulator, *args: object) -> None:
        time.sleep(0.05)
        made(self, *args)

    monkeypatch.setattr(Emulator, "__init__", slowly)
    found = at_once([lambda: _backend.backend("cuda:7")] * 4)
    assert len({id(each) for each in found}) == 1
