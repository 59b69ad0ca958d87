"""Facts about the checkout: files introduce themselves, folders are packages, words agree."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

ROOMS = ("minicaffe", "layers", "kernels", "distributed", "labs")


def sources(*folders: str) -> list[Path]:
    """The Python files below some folders, relative to the checkout; generated ones left out."""
    found = (path for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))
    paths = (path.relative_to(CHECKOUT) for path in found if not path.name.endswith("_pb2.py"))
    return sorted(path for path in paths if not is_of_a_lab(path))


def is_of_a_lab(path: Path) -> bool:
    """Whether a file is a lab's own: a test, a solution, what students are given."""
    return path.parts[0] == "labs" and (CHECKOUT / "labs" / path.parts[1] / "lab.toml").is_file()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))


def test_a_file_opens_with_what_it_is() -> None:
    silent = []
    for path in sources(*ROOMS, "com", "tests", "examples", "benchmarks"):
        first = (ast.get_docstring(parse(path)) or "").split("\n")[0].rstrip()
        if not first.endswith((".", "?")) and ":" not in first:
            silent.append(f"{path}: no docstring, or one whose first line is no sentence")
    assert not silent, "\n".join(silent)


def test_what_is_public_says_what_it_does() -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path in sources(*ROOMS)
        for node in parse(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not path.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in {ast.unparse(decorator) for decorator in node.decorator_list}
    ]
    assert not silent, "\n".join(silent)


def test_no_stubs_and_no_drawers() -> None:
    for path in sources(*ROOMS):
        assert path.name not in ("utils.py", "helpers.py", "misc.py"), path
        text = (CHECKOUT / path).read_text(encoding="utf-8")
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", text), path


def test_every_folder_of_code_is_a_package() -> None:
    for path in sources(*ROOMS):
        assert (CHECKOUT / path.parent / "__init__.py").is_file(), f"{path.parent}/__init__.py"


def test_the_map_of_rooms_covers_every_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    monkeypatch.chdir(CHECKOUT)
    code = compile((CHECKOUT / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec")
    exec(code, {"__name__": "setup"})
    folders = {path.parent for path in sources(*ROOMS)}
    names = {
        ".".join(folder.parts if folder.parts[0] == "minicaffe" else ("minicaffe", *folder.parts))
        for folder in folders
    }
    ours = {name for name in given["packages"] if name.split(".")[0] == "minicaffe"}
    assert ours == names | {"minicaffe.examples"}  # prototxts alone
    ancestors = {".".join(path.parent.parts) for path in sources("com")}
    assert set(given["packages"]) - ours == ancestors


def test_extras_named_in_errors_exist() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    named = set()
    for path in sources(*ROOMS):
        for node in ast.walk(parse(path)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("extra", "MissingExtra")
                and path != Path("minicaffe/errors.py")
            ):
                place = f"{path}:{node.lineno}"
                assert len(node.args) == 3 and isinstance(node.args[1], ast.Constant), place
                assert node.args[1].value in extras, place
                named.add(node.args[1].value)
    assert named > {"spark", "java", "plots", "hdf5", "images", "leveldb", "draw", "onnx"}


def test_the_changelog_knows_the_version() -> None:
    from minicaffe import __version__

    assert f"## {__version__}" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_make_alone_lists_the_verbs() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    verbs = {line.split()[0] for line in done.stdout.splitlines()[1:]}
    assert verbs == {
        "demo",
        "check",
        "test",
        "test-slow",
        "test-vectors",
        "test-cuda-compile",
        "test-cuda",
        "bench-cuda",
        "cuda-ptx",
        "test-newest",
        "test-spark",
        "bench-interconnects",
        "test-rdma",
        "test-all",
        "lint",
        "types",
        "bench",
        "docs",
        "lab",
        "labs",
        "clean",
        "help",
    }


def test_a_check_of_nothing_says_what_to_name() -> None:
    """And installs nothing."""
    command = ["make", "--no-print-directory", "check"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert (
        done.stdout == "make check K=relu: K is a layer, or a kernel for the layers that use it\n"
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("gather", {"BatchReindex", "Filter"}),
        ("inner_product", {"InnerProduct"}),
        ("relu", {"ReLU"}),
    ],
)
def test_a_check_finds_layers_by_type_file_and_kernels(word: str, found: set[str]) -> None:
    page = "tests/layers/test_layer_docstrings.py"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:xdist",
            page,
            "-k",
            word,
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert found <= set(re.findall(r"test_devices_agree\[(\w+)\]", done.stdout))
