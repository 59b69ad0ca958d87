"""The pages say what is so: layers from their docstrings, errors and variables from the code."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from minicaffe import errors
from tests.conftest import CHECKOUT

ROOMS = ("minicaffe", "layers", "kernels", "distributed", "labs")
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))


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


def code() -> Iterator[str]:
    """The text of every file of the rooms."""
    for room in ROOMS:
        for path in (CHECKOUT / room).rglob("*.py"):
            yield path.read_text(encoding="utf-8")


@cache
def sentences() -> list[str]:
    """What the code can say: its strings, with … for what is filled in."""
    found = []
    for text in code():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (value.value if isinstance(value, ast.Constant) else "…"
                         for value in node.values)  # fmt: skip
                found.append("".join(map(str, parts)))
    return found


def told() -> list[str]:
    """The messages that the page of errors explains."""
    page = (CHECKOUT / "docs" / "errors.md").read_text(encoding="utf-8")
    return [row[1] for row in re.finditer(r"^\| `(.+?)` \|", page, re.MULTILINE)]


@pytest.mark.parametrize("message", told())
def test_the_errors_of_the_page_are_those_of_the_code(message: str) -> None:
    """What stands between the … stands in a string of the code; before a colon may be another."""
    pieces = [piece for piece in message.split("…") if len(piece.strip(" ,:;()'")) > 3]
    missing = [piece for piece in pieces if not any(piece in sentence for sentence in sentences())]
    halves = {half for piece in missing for half in re.split(r"(?=: )", piece)}
    unknown = [half for half in halves if not any(half.strip() in each for each in sentences())]
    assert not unknown, f"nothing in the code says {unknown}"


def test_the_page_of_errors_has_the_whole_tree() -> None:
    page = (CHECKOUT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.Error):
            assert name in page, name


def test_the_page_of_variables_has_all_that_are_read() -> None:
    page = (CHECKOUT / "docs" / "environment.md").read_text(encoding="utf-8")
    words = r"\b(?:MINICAFFE|GLOG|NUMBA|GOMP|OMP|XDG|JAVA|PYSPARK)_[A-Za-z_]+"
    read = {
        name
        for text in code()
        for line in text.splitlines()
        if re.search(r"environ|getenv|var", line)
        for name in re.findall(rf"[\"']({words})[\"']", line)
    }
    of_spark_itself = {"PYSPARK_GATEWAY_PORT", "PYSPARK_DRIVER_PYTHON"}
    assert {"MINICAFFE_NUM_THREADS", "MINICAFFE_CACHE_DIR"} <= read
    assert not read - of_spark_itself - set(re.findall(words, page))


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *PAGES,
                                  *sorted((CHECKOUT / "examples").rglob("README.md")),
                                  *sorted((CHECKOUT / "labs").rglob("README.md"))],
                         ids=lambda page: str(page.relative_to(CHECKOUT)))  # fmt: skip
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)\s]*)\)", text):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            made = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in made, f"{target}: no such heading"


def test_paths_in_pages_exist() -> None:
    """What stands between back quotes and looks like a file of ours is one."""
    rooms = "|".join((*ROOMS, "benchmarks", "tests", "examples"))
    file = re.compile(rf"`((?:{rooms})/[\w/.]+\.(?:py|proto|prototxt))`")
    for page in [CHECKOUT / "README.md", *PAGES]:
        for path in file.findall(page.read_text(encoding="utf-8")):
            assert (CHECKOUT / path).exists(), f"{page.name}: {path}"
