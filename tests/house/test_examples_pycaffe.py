"""The notebooks and scripts of examples/pycaffe run; the slow tests see what they learn."""

import json
import os
import re
import runpy
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, SHARED

FOLDER = CHECKOUT / "examples" / "pycaffe"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))

# What makes a notebook short: text of its code, and what stands there instead.
SHORTER = {
    "classification": [],
    "learning_lenet": [("150, 25", "4, 2"), ('read("train", 3000)', 'read("train", 400)')],
    "net_surgery": [("solver.step(200)", "solver.step(5)"), ('"train", 3000', '"train", 200')],
    "segmentation": [("range(300)", "range(3)"), ("4000), 400", "300), 20")],
    "siamese": [("max_iter: 300", "max_iter: 20"), ("size=9600", "size=640")],
}

# What a whole run prints: a pattern, and the least that its number must be.
LEARNS = {
    "classification": (r"([\d.]+)%  kit fox", 50),
    "learning_lenet": (r"([\d.]+)% of the test digits", 85),
    "net_surgery": (r"([\d.]+)% of 500 test digits", 90),
    "segmentation": (r"their mean: ([\d.]+)", 0.4),
    "siamese": (r"of ([\d.]+)% of the digits is of their class", 50),
}


@pytest.fixture(params=NOTEBOOKS)
def notebook(request: pytest.FixtureRequest) -> str:
    """The name of each notebook; skipped where what it reads is absent."""
    name = str(request.param)
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    if name == "segmentation":
        pytest.importorskip("h5py", reason="h5py is not installed")
    if name == "classification":
        pytest.importorskip("cv2", reason="OpenCV is not installed")
        if not (SHARED / "data" / "models" / "squeezenet_v1.0").is_dir():
            pytest.skip(f"no SqueezeNet in {SHARED} (set MINICAFFE_SHARED)")
    return name


def cells(name: str, kind: str) -> list[dict]:
    found = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def test_notebooks_run_when_shortened(
    notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICAFFE_SHARED", str(SHARED))
    code = "\n".join("".join(cell["source"]) for cell in cells(notebook, "code"))
    for long, short in SHORTER[notebook]:
        assert long in code
        code = code.replace(long, short)
    import matplotlib.pyplot as plt

    with plt.rc_context():
        exec(compile(code, f"{notebook}.ipynb", "exec"), {"__name__": "__main__"})
        plt.close("all")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_kept_with_what_they_gave(name: str) -> None:
    pattern, least = LEARNS[name]
    for cell in cells(name, "code"):
        assert cell["execution_count"], "".join(cell["source"])
        assert all(output["output_type"] != "error" for output in cell["outputs"])
    assert number(pattern, cells(name, "code")) >= least
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|work|home|root)/", text)
    assert cells(name, "markdown")[0]["source"][0].startswith("# ")
    assert cells(name, "code")[0]["source"][0] == "import minicaffe as caffe\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_notebooks_learn(notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    from traitlets.config import Config

    monkeypatch.setenv("MINICAFFE_SHARED", str(SHARED))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.getenv("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND")  # so that pictures become outputs
    run = nbformat.read(FOLDER / f"{notebook}.ipynb", as_version=4)
    monkeypatch.chdir(tmp_path)
    # Sockets in this folder: another process may take a port between its choice and its use.
    sockets = Config(KernelManager={"transport": "ipc"})
    nbclient.NotebookClient(run, timeout=500, kernel_name="python3", config=sockets).execute()
    pattern, least = LEARNS[notebook]
    assert number(pattern, [cell for cell in run.cells if cell.cell_type == "code"]) >= least


def number(pattern: str, cells: list[dict]) -> float:
    """The number that a pattern finds in what the cells printed."""
    printed = ("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
    found = re.search(pattern, "\n".join(printed))
    assert found, pattern
    return float(found[1])


def test_the_loss_in_python_is_the_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    runpy.run_path(str(FOLDER / "linear_regression.py"), run_name="__main__")
    assert "found w" in capsys.readouterr().out


def test_links_of_the_readme_lead_somewhere() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!http)([^)#]+)", page)
    assert all((FOLDER / target).exists() for target in targets)
    assert {f"{name}.ipynb" for name in NOTEBOOKS} <= set(targets)
