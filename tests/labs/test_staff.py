"""Grading, releasing and verifying a lab: one of a single task that is made for these tests."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.labs import course, folder
from minicaffe.labs.publish import publish
from minicaffe.labs.release import released
from minicaffe.labs.verify import verify, write
from tests.conftest import CHECKOUT

TOML = """
title = "Bounds"
hours = 1
allow = ["numpy"]
[[task]]
name = "bounds"
points = 10
file = "distributed/communicator.py"
write = ["chunk_bounds"]
tests = ["test_bounds.py"]
product_tests = ["tests/distributed/ring/test_ring.py -k test_the_order_of_the_sum_is_fixed"]
seconds = 30
"""
TESTS = """
from minicaffe.distributed.communicator import chunk_bounds
from minicaffe.labs.plugin import close

def test_even():
    close("bounds", chunk_bounds(6, 3), [0, 2, 4, 6], "6 on 3")

def test_uneven():
    close("bounds", chunk_bounds(5, 2), [0, 2, 5], "5 on 2")
"""
HALF = "return [count // world_size * rank for rank in range(world_size + 1)]"
RIGHT = "return [count * rank // world_size for rank in range(world_size + 1)]"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> course.Lab:
    place = tmp_path / "room" / "tiny"
    (place / "tests").mkdir(parents=True)
    (place / "lab.toml").write_text(TOML)
    (place / "tests" / "test_bounds.py").write_text(TESTS)
    (place / "README.md").write_text("    minicaffe --version\n")
    monkeypatch.setattr(course, "ROOT", tmp_path / "room")
    return course.load("tiny")


def attempt(lab: course.Lab, place: Path, body: str) -> Path:
    folder.start(lab, place)
    file = place / lab.files[0]
    stub = next(line for line in file.read_text().splitlines() if "yours to write" in line)
    file.write_text(file.read_text().replace(stub, f"    {body}"))
    return place


def zipped(place: Path) -> Path:
    with zipfile.ZipFile(f"{place}.zip", "w") as archive:
        for path in place.rglob("*"):
            archive.write(path, f"handed-in/{path.relative_to(place)}")
    return Path(f"{place}.zip")


def test_submissions_are_graded_by_all_tests(
    lab: course.Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = attempt(lab, tmp_path / "ann", RIGHT)
    bob = zipped(attempt(lab, tmp_path / "bob", HALF))
    (ann / "distributed" / "ring.py").write_text("raise SystemExit")  # not a file of the lab
    (ann / "conftest.py").write_text("raise SystemExit")
    (tmp_path / "torn.zip").write_text("no zip")
    staff = tmp_path / "secret"
    staff.mkdir()
    (staff / "test_bounds_more.py").write_text(
        "from minicaffe.distributed.communicator import chunk_bounds\n"
        "def test_seed(rng):\n"
        "    n = int(rng.integers(10, 99))\n"
        "    assert chunk_bounds(n, 2)[1] == n // 2, f'wrong for {n}'\n"
    )
    files = {"json": tmp_path / "r.json", "csv": tmp_path / "r.csv"}
    status = main(
        ["lab", "grade", str(ann), str(bob), str(tmp_path / "torn.zip"), "-seed", "7", "-tests",
         str(staff), "-json", str(files["json"]), "-csv", str(files["csv"])]
    )  # fmt: skip
    told = capsys.readouterr()
    assert status == 1 and "torn.zip: a folder or a zip is expected" in told.err
    found = json.loads(files["json"].read_text())["submissions"]
    assert [(each["student"], each["points"], each["seed"]) for each in found] == [
        ("ann", 10.0, 7),
        ("bob", 5.0, 7),
    ]
    groups = found[1]["tasks"][0]["groups"]
    assert {name: (each["passed"], each["total"]) for name, each in groups.items()} == {
        "public": (1, 2),
        "product": (1, 1),
        "staff": (1, 1),
    }
    assert "bounds[2]: yours 4, expected 5 (5 on 2)" in str(groups["public"]["failures"])
    rows = list(csv.reader(files["csv"].read_text().splitlines()))
    assert rows == [
        ["student", "lab", "points", "bounds"],
        ["ann", "tiny", "10.0", "10.0"],
        ["bob", "tiny", "5.0", "5.0"],
    ]


def test_formats_of_gradescope_and_classroom(
    lab: course.Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bob = attempt(lab, tmp_path / "bob", HALF)
    results = tmp_path / "results.json"
    words = ["lab", "grade", str(bob), "-json", str(results), "-product", str(CHECKOUT)]
    assert main([*words, "-format", "gradescope"]) == 0
    found = json.loads(results.read_text())
    assert found["score"] == 5.0 and [
        (test["name"], test["score"], test["max_score"], test["visibility"])
        for test in found["tests"]
    ] == [("bounds", 2.5, 5.0, "visible"), ("bounds (product)", 2.5, 5.0, "after_published")]
    assert main([*words, "-format", "classroom"]) == 1
    assert main([*words[:3], "-format", "gradescope"]) == 1
    assert "takes one submission, and -json FILE" in capsys.readouterr().err


def test_a_submission_without_its_file_is_told(lab: course.Lab, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    results = tmp_path / "r.json"
    assert (
        main(["lab", "grade", str(tmp_path / "empty"), "-lab", "tiny", "-json", str(results)]) == 0
    )
    (found,) = json.loads(results.read_text())["submissions"]
    assert found["points"] == 0
    assert "distributed/communicator.py is not here" in str(found["tasks"])


@pytest.mark.slow
def test_verify_finds_what_is_weak(lab: course.Lab) -> None:
    (report,) = verify(lab, workers=1)
    assert not report.faults and report.mutants == report.by_public == 4
    tests = lab.folder / "tests" / "test_bounds.py"
    tests.write_text(
        "from minicaffe.distributed.communicator import chunk_bounds\n"
        "def test_nothing():\n    assert chunk_bounds\n"
        "def test_little():\n    assert chunk_bounds(6, 3)[0] == 0\n"
    )
    (lab.folder / "README.md").write_text("    minicaffe nonsense\n")
    (report,) = verify(lab, workers=1)
    said = "\n".join(report.faults)
    assert "with a stub 1 tests pass, such as " in said and "test_nothing" in said
    assert re.search(r"public tests kill \d of 4 mutants, not 9 of 10", said)
    assert "README.md: minicaffe nonsense: status 2" in said


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """minicaffe as pip installs it, outside of the checkout."""
    base = tmp_path_factory.mktemp("installed")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (base / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, base / "source" / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
         "--no-deps", "--no-build-isolation", "--no-index", "--target", str(base / "site"),
         str(base / "source")],
        check=True, capture_output=True,
    )  # fmt: skip
    return base / "site"


@pytest.mark.slow
def test_what_is_released_runs_outside_of_the_checkout(site: Path, tmp_path: Path) -> None:
    lab = course.load("ring")
    template, autograder = publish(lab, tmp_path / "out", "", 3, CHECKOUT, None)
    with pytest.raises(course.LabError, match="is there already"):
        publish(lab, tmp_path / "out", "", 3, CHECKOUT, None)
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(site)}

    def check() -> subprocess.CompletedProcess[str]:
        steps = re.findall(r"- run: (.*)", (template / ".github/workflows/lab.yml").read_text())
        command = steps[-1].replace("python", sys.executable, 1)
        return subprocess.run(
            ["bash", "-c", command], cwd=template, env=variables, capture_output=True, text=True
        )

    red = check()
    assert red.returncode == 1 and "0 of 100 public tests passed" in red.stdout, red.stderr
    write(template, released(lab, stubs=()))
    green = check()
    assert green.returncode == 0 and "100 of 100 public tests passed" in green.stdout, green.stdout
    assert "minicaffe[labs]==" in (template / "requirements.txt").read_text()
    cells = json.loads((template / "colab.ipynb").read_text())["cells"]
    assert len(cells) == 4 and "lab start ring" in cells[1]["source"]

    root = tmp_path / "autograder"
    with zipfile.ZipFile(autograder) as archive:
        archive.extractall(root / "source")
        for name in ("setup.sh", "run_autograder"):
            assert archive.getinfo(name).external_attr >> 16 & 0o111
    shutil.copytree(template, root / "submission")
    done = subprocess.run(
        ["bash", str(root / "source" / "run_autograder")], cwd=root, capture_output=True, text=True,
        env={**variables, "AUTOGRADER": str(root), "PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((root / "results" / "results.json").read_text())
    assert found["score"] == lab.points, found
    assert {test["visibility"] for test in found["tests"]} == {"visible", "after_published"}


def test_the_commands_for_students(tmp_path: Path) -> None:
    """start, run, debug, as a student calls them."""
    variables = {**os.environ, "PYTHONPATH": str(CHECKOUT)}

    def call(*words: str, place: Path = tmp_path, said: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "minicaffe", "lab", *words], cwd=place, env=variables,
            capture_output=True, text=True, input=said,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert call("check")[1].startswith("minicaffe: error: ")
    status, told = call("start", "ring")
    assert status == 0 and "ring/distributed/walks.py  2 functions to write" in told
    place = tmp_path / "ring" / "distributed"
    assert "<- this folder: 0 of 9 functions written" in call(place=place)[1]
    status, told = call("run", "--version", place=place)
    assert told.startswith(
        "from this folder: distributed/communicator.py (0 of 1 functions written)"
    )
    assert status == 0 and told.splitlines()[1].startswith("minicaffe ")
    status, told = call("debug", "bounds", place=place, said="q\n")
    assert "yours to write" in told and "(Pdb)" in told
    status, told = call("check", "bounds", "-hint", place=place)
    assert status == 1 and "bounds, hint 1 of 2: " in told
    assert "bounds, hint 2 of 2: " in call("check", "bounds", "-hint", place=place)[1]
