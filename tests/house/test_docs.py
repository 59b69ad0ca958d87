"""The committed pages of the layers are those that the docstrings make."""

import importlib.util
from pathlib import Path


def test_the_pages_are_current(checkout: Path) -> None:
    spec = importlib.util.spec_from_file_location("build", checkout / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    made = build.pages()
    committed = {path.name: path.read_text() for path in build.FOLDER.glob("*.md")}
    assert sorted(committed) == sorted(made), "run `make docs`"
    stale = [name for name in made if made[name] != committed[name]]
    assert not stale, f"run `make docs`: {stale}"
