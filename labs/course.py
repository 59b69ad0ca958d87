"""What a lab is: a folder with a lab.toml, read into `Lab` and `Task`.

title = "The ring"
hours = 6
needs = ["spark"]                  # extras, beside what minicaffe always has
allow = ["numpy", "minicaffe"]     # what the student's files may import, beside what they did
variants = ["Mish", "HardSwish"]   # types, of which a course's key draws one: in the lab's files,
                                   # and in their names, Variant is it, VARIANT its module's name
[[task]]
name = "schedule"
points = 20
file = "distributed/walks.py"      # in the student's folder
from = "product"                   # or "solution", or "given"
write = ["walk_round"]             # whose bodies are cut out; none for from = "given"
tests = ["test_schedule.py"]       # in the lab's tests/
product_tests = ["tests/distributed/ring/test_ring.py -k allreduce"]
seconds = 20                       # that the tests may take
hints = ["..."]
speed = false                      # true: its tests measure time, so arrays are not checked
python_mutants = false             # true: `lab verify` tries mutants with kernels as Python
[[task.equal]]                     # mutants that compute the same
mutant = "walk_round: a + b -> a - b"
reason = "..."
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from minicaffe.errors import Error, did_you_mean
from minicaffe.overlay import folders

ROOT = Path(__file__).resolve().parent
SOURCES = ("product", "solution", "given")
# The course; a lab that is not in it comes last.
ORDER = ("first", "numpy", "gradient", "numba", "conv", "cuda", "ring", "spark", "speed", "own")
REQUIRED_LAB = {"title": str, "hours": (int, float), "task": list}
REQUIRED_TASK = {"name": str, "points": int, "file": str, "tests": list}

# The module by which an extra is seen to be installed.
MODULES = {
    "numpy": "numpy", "spark": "pyspark", "plots": "matplotlib", "images": "cv2", "onnx": "onnx",
    "cuda-emu": "numba_cuda", "cuda": "numba_cuda", "inspect": "jinja2", "labs": "pytest",
    "hdf5": "h5py", "parquet": "pyarrow",
}  # fmt: skip


class LabError(Error):
    """A lab, a student's folder or a submission that cannot be used."""


@dataclass(frozen=True)
class Task:
    """A part of a lab: functions of one file, and the tests that look at them."""

    name: str
    points: int
    file: str
    tests: tuple[str, ...]
    source: str = "product"  # `from` in the file
    write: tuple[str, ...] = ()
    product_tests: tuple[str, ...] = ()
    seconds: float = 30
    hints: tuple[str, ...] = ()
    speed: bool = False
    python_mutants: bool = False
    equal: tuple[tuple[str, str], ...] = ()  # (mutant, reason)


@dataclass(frozen=True)
class Lab:
    """A lab and its tasks, in order."""

    name: str
    folder: Path
    title: str
    hours: float
    tasks: tuple[Task, ...]
    needs: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    variant: str = ""  # that of `variants` which is drawn

    @property
    def full_name(self) -> str:
        """As `load` takes it: with the variant, where there are some."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def points(self) -> int:
        """Of all tasks."""
        return sum(task.points for task in self.tasks)

    @property
    def files(self) -> list[str]:
        """What the student hands in."""
        return list(dict.fromkeys(task.file for task in self.tasks))

    def task(self, name: str) -> Task:
        """The task of that name. Raises LabError with those there are."""
        for task in self.tasks:
            if task.name == name:
                return task
        names = ", ".join(task.name for task in self.tasks)
        near = did_you_mean(name, [task.name for task in self.tasks])
        raise LabError(f"lab {self.name} has no task '{name}' (there are: {names}){near}")

    def reference(self, task: Task) -> Path:
        """Where the answer to a task lies."""
        if task.source == "product":
            return product_file(task.file)
        for path in (self.folder / "solution").rglob("*"):  # its own file, or one for all variants
            name = path.relative_to(self.folder / "solution").as_posix()
            if task.file in (name, self.fill(name)):
                return path
        return self.folder / "solution" / task.file

    def reference_text(self, task: Task) -> str:
        """The answer to a task."""
        return self.fill(self.reference(task).read_text(encoding="utf-8"))

    def fill(self, text: str) -> str:
        """A text, or a file's name, for the variant that is drawn."""
        return fill(text, self.variant)

    def draw(self, key: str) -> str:
        """The variant that belongs to a course's key; the first for no key, "" if none are."""
        if not key or not self.variants:
            return self.variants[0] if self.variants else ""
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return self.variants[number % len(self.variants)]

    def missing(self) -> str:
        """What is not installed that this lab needs, with the remedy; "" if nothing."""
        for name in (*self.needs, "labs"):
            if importlib.util.find_spec(MODULES[name]) is None:
                return (
                    f"lab {self.name} needs {MODULES[name]}: "
                    f"pip install 'minicaffe[{name}]' (in a checkout: pip install -e '.[{name}]')"
                )
        return ""


def lab_names() -> list[str]:
    """The labs, by their folders, in the order of the course."""
    found = {path.parent.name for path in ROOT.glob("*/lab.toml")}
    return [name for name in (*ORDER, *sorted(found - set(ORDER))) if name in found]


def all_labs() -> list[Lab]:
    """Every lab, in order."""
    return [load(name) for name in lab_names()]


def load(name: str, variant: str = "") -> Lab:
    """The lab of a folder; "gradient:Mish" names its variant too.

    Raises LabError, which names the file and the key.
    """
    name, _, named = name.partition(":")
    variant = named or variant
    if name not in lab_names():
        near = did_you_mean(name, lab_names())
        raise LabError(f"there is no lab '{name}' (there are: {', '.join(lab_names())}){near}")
    return read(ROOT / name / "lab.toml", variant)


def fill(text: str, variant: str) -> str:
    """Variant becomes the variant's name, a type such as HardSwish, and VARIANT its module."""
    if not variant:
        return text
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", variant).lower()
    return text.replace("VARIANT", module).replace("Variant", variant)


def read(file: Path, variant: str = "") -> Lab:
    """The lab that a lab.toml describes, with one of its variants, by default the first.

    Raises LabError, which names the file and the key.
    """
    try:
        text = file.read_text(encoding="utf-8")
        variants = tuple(map(str, tomllib.loads(text).get("variants", ())))
        variant = variant or (variants[0] if variants else "")
        if variant and variant not in variants:
            raise LabError(
                f"{file}: there is no variant {variant}{did_you_mean(variant, variants)}"
            )
        found = tomllib.loads(fill(text, variant))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{file}: {error}") from None
    _check(found, REQUIRED_LAB, {"needs": list, "allow": list, "variants": list}, str(file))
    names = [need for need in found.get("needs", []) if need not in MODULES]
    if names:
        raise LabError(f"{file}: needs: unknown extra '{names[0]}' (known: {', '.join(MODULES)})")
    tasks = tuple(
        _task(task, f"{file}: task {number}", file.parent)
        for number, task in enumerate(found["task"], 1)
    )
    twice = {task.name for task in tasks if sum(t.name == task.name for t in tasks) > 1}
    if twice or not tasks:
        raise LabError(f"{file}: task: {f'two are named {twice.pop()}' if twice else 'none'}")
    return Lab(
        file.parent.name, file.parent, found["title"], found["hours"], tasks,
        tuple(found.get("needs", ())),
        tuple(found.get("allow", ())),
        variants,
        variant,
    )  # fmt: skip


def _task(found: Any, place: str, folder: Path) -> Task:
    if not isinstance(found, dict):
        raise LabError(f"{place}: a table is expected")
    if isinstance(found.get("name"), str):
        place += f" ({found['name']})"
    given = dict(found)
    optional = {
        "from": str, "write": list, "product_tests": list, "seconds": (int, float),
        "hints": list, "speed": bool, "python_mutants": bool, "equal": list,
    }  # fmt: skip
    _check(given, REQUIRED_TASK, optional, place)
    source = given.pop("from", "product")
    if source not in SOURCES:
        raise LabError(f"{place}: from: '{source}' is none of {', '.join(SOURCES)}")
    for equal in given.get("equal", []):
        _check(equal, {"mutant": str, "reason": str}, {}, f"{place}: equal")
    given["equal"] = [(equal["mutant"], equal["reason"]) for equal in given.get("equal", [])]
    if (source == "given") == bool(given.get("write")):
        rule = "given files have none" if source == "given" else "the functions to cut out"
        raise LabError(f"{place}: write: {rule}")
    if source == "given" and not (folder / "given" / given["file"]).is_file():
        raise LabError(f"{place}: file: there is no given/{given['file']}")
    for name in given["tests"]:
        if not (folder / "tests" / str(name)).is_file():
            raise LabError(f"{place}: tests: there is no tests/{name}")
    known = {field.name for field in fields(Task)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in given.items()
        if key in known
    }
    return Task(source=source, **values)


def _check(found: Any, required: dict[str, Any], optional: dict[str, Any], place: str) -> None:
    """Every key is known, has its type, and those that must be there are."""
    known = required | optional
    for key, value in found.items():
        if key not in known:
            raise LabError(f"{place}: unknown key '{key}'{did_you_mean(key, known)}")
        wanted = known[key]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            names = wanted.__name__ if isinstance(wanted, type) else "a number"
            raise LabError(f"{place}: {key}: {value!r} where {names} is expected")
        if isinstance(value, list) and key not in ("task", "equal"):
            for entry in value:
                if not isinstance(entry, str):
                    raise LabError(f"{place}: {key}: {entry!r} where str is expected")
    for key in required:
        if key not in found:
            raise LabError(f"{place}: {key} is missing")


def product_file(name: str) -> Path:
    """Where the product has a file of this path: distributed/ring.py, solver/update.py.

    Raises LabError where it has none; files of MINICAFFE_PATH do not count.
    """
    path = Path(name)
    spec = importlib.util.find_spec(".".join(("minicaffe", *path.parent.parts)))
    for entry in (spec and spec.submodule_search_locations) or ():
        place = Path(entry)
        if (
            not any(place.is_relative_to(own) for own in folders())
            and (place / path.name).is_file()
        ):
            return place / path.name
    raise LabError(f"minicaffe has no file {name}")
