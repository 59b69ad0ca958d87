"""What a lab.toml may say; the student's version of a file; the folder that a lab starts with."""

from pathlib import Path

import pytest

from minicaffe.labs import course, folder, release

WHOLE = """
title = "T"
hours = 1
[[task]]
name = "one"
points = 3
file = "distributed/communicator.py"
write = ["chunk_bounds"]
tests = ["test_one.py"]
"""


def lab_toml(tmp_path: Path, text: str) -> Path:
    (tmp_path / "tests").mkdir(exist_ok=True)
    (tmp_path / "tests" / "test_one.py").write_text("")
    file = tmp_path / "lab.toml"
    file.write_text(text)
    return file


def test_a_lab_has_what_its_file_says(tmp_path: Path) -> None:
    lab = course.read(lab_toml(tmp_path, WHOLE))
    assert (lab.title, lab.points, lab.files) == ("T", 3, ["distributed/communicator.py"])
    assert lab.task("one").source == "product" and lab.task("one").write == ("chunk_bounds",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hours = 1", "", "lab.toml: hours is missing"),
        ("hours = 1", "hours = 'x'", "lab.toml: hours: 'x' where a number is expected"),
        ("hours = 1", "hours = true", "lab.toml: hours: True where a number is expected"),
        ("hours = 1", "hours = 1\nneed = []", "unknown key 'need'; did you mean 'needs'?"),
        ("hours = 1", "hours = 1\nneeds = ['tf']", "lab.toml: needs: unknown extra 'tf' (known: "),
        ("hours = 1", "hours =", "lab.toml: Invalid value"),
        ("points = 3", "", "lab.toml: task 1 (one): points is missing"),
        ("points = 3", "points = '3'", "task 1 (one): points: '3' where int is expected"),
        ("points = 3", "points = 3\nhints = [1]", "task 1 (one): hints: 1 where str is expected"),
        ("points = 3", "points = 3\nfrom = 'x'", "from: 'x' is none of product, solution, given"),
        ('["chunk_bounds"]', "[]", "task 1 (one): write: the functions to cut out"),
        ('["test_one.py"]', '["test_two.py"]', "tests: there is no tests/test_two.py"),
        ("[[task]]", "[[tusk]]", "lab.toml: unknown key 'tusk'; did you mean 'task'?"),
        ('tests = ["test_one.py"]', 'tests = ["test_one.py"]\nequal = [{mutant = "a"}]',
         "task 1 (one): equal: reason is missing"),
    ],
)  # fmt: skip
def test_an_error_names_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(course.LabError) as caught:
        course.read(lab_toml(tmp_path, WHOLE.replace(old, new)))
    assert said in str(caught.value) and str(tmp_path) in str(caught.value)


def test_an_unknown_lab_and_task_are_told_with_those_there_are() -> None:
    with pytest.raises(course.LabError, match=r"no lab 'rnig' \(there are: .*did you mean 'ring'"):
        course.load("rnig")
    with pytest.raises(course.LabError, match="lab ring has no task 'x' .there are: bounds, "):
        course.load("ring").task("x")


SOURCE = '''"""Doc."""
import os  # stays


# above
@decorated
def with_docstring(a: int) -> int:
    """Say.

    More.
    """
    # a comment that tells
    b = a
    return (
        b
    )


class K:
    def method(self):
        # tells too
        return 1

    x = 2


def kept():
    return 3
'''


def test_bodies_are_cut_out_and_all_else_stays() -> None:
    text = release.blank(SOURCE, ["with_docstring", "K.method"], "lab l, task t")
    assert text == SOURCE.replace(
        "    # a comment that tells\n    b = a\n    return (\n        b\n    )\n",
        '    raise NotImplementedError("lab l, task t: with_docstring is yours to write")\n',
    ).replace(
        "        # tells too\n        return 1\n",
        '        raise NotImplementedError("lab l, task t: K.method is yours to write")\n',
    )
    functions = release.functions_of(text)
    assert [name for name, node in functions.items() if release.is_blank(node)] == [
        "with_docstring",
        "K.method",
    ]
    with pytest.raises(course.LabError, match="lab l, task t: there is no function nothing"):
        release.blank(SOURCE, ["nothing"], "lab l, task t")


@pytest.mark.parametrize("name", course.lab_names())
def test_a_lab_starts_once_and_with_force_again(name: str, tmp_path: Path) -> None:
    lab = course.load(name)
    folder.start(lab, tmp_path / "here")
    here = folder.find(tmp_path / "here")
    assert here.lab == lab and (here.path / "README.md").is_file()
    assert all(done == 0 for done, _ in here.written().values())
    first = here.path / lab.files[0]
    first.write_text("# mine\n")
    with pytest.raises(course.LabError, match="is there already: minicaffe lab start"):
        folder.start(lab, tmp_path / "here")
    assert first.read_text() == "# mine\n"
    (kept,) = folder.start(lab, tmp_path / "here", force=True)
    assert Path(kept).name == f"{first.name}.1" and Path(kept).read_text() == "# mine\n"
    assert first.read_text() != "# mine\n"


def test_outside_of_a_lab_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(course.LabError, match=r"is no lab's folder: minicaffe lab start LAB"):
        folder.find(tmp_path)
