"""The notebooks and programs about Spark are kept with what they gave; run anew they learn it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, SHARED

EXAMPLES = CHECKOUT / "examples"

# What a whole run prints: a pattern, and the least that its number must be.
LEARNS = {
    "captions/captions": (r"([\d.]+)% of the words stand in the picture's own captions", 90),
    "flickr/flickr": (r"([\d.]+)% of 500 held back get their own tag first", 70),
    "mnist/spark": (r"([\d.]+)% of 10,000 digits are right", 95),
    "mnist/hyper_parameters": (r"([\d.]+)% with the best of 9", 85),
}


def printed(cells: list[dict]) -> str:
    outputs = (output for cell in cells if cell["cell_type"] == "code"
               for output in cell["outputs"])  # fmt: skip
    return "\n".join("".join(output.get("text", "")) for output in outputs)


def number(name: str, text: str) -> float:
    found = re.search(LEARNS[name][0], text)
    assert found, LEARNS[name][0]
    return float(found[1])


@pytest.mark.parametrize("name", LEARNS)
def test_notebooks_are_kept_with_what_they_gave(name: str) -> None:
    text = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["execution_count"], "".join(cell["source"])
            assert all(output["output_type"] != "error" for output in cell["outputs"])
            assert all(output.get("name") != "stderr" for output in cell["outputs"])
    assert number(name, printed(cells)) >= LEARNS[name][1]
    assert not re.search(r"/(tmp|work|home|root)/", text)
    assert "".join(cells[0]["source"]).startswith("# ")


def test_all_notebooks_about_spark_are_looked_at() -> None:
    found = {path.relative_to(EXAMPLES).with_suffix("").as_posix()
             for path in EXAMPLES.glob("*/*.ipynb") if path.parent.name != "pycaffe"}  # fmt: skip
    assert found == set(LEARNS)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The examples as they are in git, in a place of their own, which is not the product's."""
    for needed in ("pyspark", "cv2", "matplotlib"):
        pytest.importorskip(needed)
    ignore = shutil.ignore_patterns("out", "*_lmdb", "__pycache__", "kernel-ipc-*")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignore)
    return tmp_path / "examples"


def needs_shared(name: str) -> None:
    if not name.startswith("mnist") and not SHARED.is_dir():
        pytest.skip(f"no folder of data sets at {SHARED} (set MINICAFFE_SHARED)")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize("name", LEARNS)
def test_notebooks_learn(name: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    from traitlets.config import Config

    needs_shared(name)
    monkeypatch.setenv("MINICAFFE_SHARED", str(SHARED))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.getenv("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(copied / "ipython"))
    monkeypatch.delenv("MPLBACKEND")  # so that pictures become outputs
    run = nbformat.read(copied / f"{name}.ipynb", as_version=4)
    folder = str((copied / name).parent)
    monkeypatch.chdir(folder)
    # Sockets in this folder: another process may take a port between its choice and its use.
    sockets = Config(KernelManager={"transport": "ipc"})
    nbclient.NotebookClient(
        run, timeout=500, kernel_name="python3", config=sockets,
        resources={"metadata": {"path": folder}},
    ).execute()  # fmt: skip
    assert number(name, printed(run.cells)) >= LEARNS[name][1]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("spark")
def test_photographs_get_tags(copied: Path) -> None:
    needs_shared("flickr")
    done = subprocess.run(
        [sys.executable, str(copied / "flickr" / "flickr.py"), str(SHARED)],
        cwd=copied,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert number("flickr/flickr", done.stdout) >= 70
    page = (copied / "flickr" / "out" / "tags.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 25
    assert {path.name for path in (copied / "flickr" / "out" / "tags").iterdir()} == {
        "known", "held_back", "new",
    }  # fmt: skip
