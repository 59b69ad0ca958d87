"""What tests of layers share: layers of files, each in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe import TRAIN
from tests.layers.feeding import Feed
from tests.one_layer import OneLayer


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Builds layers without bottoms, in a folder of their own; closes them."""
    monkeypatch.chdir(tmp_path)
    built: list[OneLayer] = []

    def build(text: str, tops: int = 2, phase: int = TRAIN) -> OneLayer:
        names = "".join(f' top: "{name}"' for name in ("data", "label", "extra")[:tops])
        built.append(OneLayer(text + names, tops=tops, phase=phase))
        return built[-1]

    yield build
    for one in built:
        one.layer.close()
