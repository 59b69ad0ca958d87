"""What tests of layers share: names that find them, layers of files in a folder of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe import TRAIN
from minicaffe.layer import layer_class
from tests.layers.feeding import Feed
from tests.one_layer import OneLayer


def pytest_itemcollected(item: pytest.Item) -> None:
    """`-k` finds the test of a layer by its file and its kernels too: inner_product, gather."""
    callspec = getattr(item, "callspec", None)
    if callspec and "layer_type" in callspec.params:
        layer = layer_class(callspec.params["layer_type"])
        item.extra_keyword_matches.update((layer.__module__.rpartition(".")[2], *layer.kernels))


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
