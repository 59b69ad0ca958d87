"""How large the processor's caches are."""

from pathlib import Path

import pytest

from minicaffe.machine import caches


def test_the_sizes_of_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, words in enumerate(["1 Data 48K", "1 Instruction 32K", "2 Unified 2048K"]):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, word in zip(("level", "type", "size"), words.split(), strict=True):
            (folder / name).write_text(word + "\n")
    (tmp_path / "index3").mkdir()  # of which nothing is told
    monkeypatch.setattr(caches, "CACHES", tmp_path)
    assert [caches.cache_bytes.__wrapped__(level) for level in (1, 2)] == [48 << 10, 2 << 20]
    monkeypatch.setattr(caches, "CACHES", tmp_path / "nowhere")
    assert caches.cache_bytes.__wrapped__(2) == caches.USUAL[2]
