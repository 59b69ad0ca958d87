"""What a course publishes of a lab: a template for GitHub Classroom, an autograder for Gradescope.

OUT/template/         start's files, .github/workflows/lab.yml, requirements.txt, colab.ipynb
OUT/autograder.zip    setup.sh, run_autograder, requirements.txt, the product's and staff's tests
"""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from minicaffe import __version__

from .course import Lab, LabError
from .folder import CACHE, start
from .marks import staff_tests

EXECUTABLE = (stat.S_IFREG | 0o755) << 16

WORKFLOW = """\
# Runs the public tests of the lab on every push; green when all of them pass.
name: lab {lab}
on: [push, workflow_dispatch]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
          cache: pip
      - run: grep -m1 "model name" /proc/cpuinfo | tee cpu
      - uses: actions/cache@v4
        with:
          path: {cache}
          key: minicaffe-${{{{ hashFiles('requirements.txt', 'cpu') }}}}
      - run: python -m pip install -r requirements.txt
      - run: python -m minicaffe lab check
"""

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, when the image is built.
set -euo pipefail
root=${AUTOGRADER:-/autograder}
python=$(command -v python3.13 || command -v python3.12 || command -v python3.11 || true)
if [ -z "$python" ]; then
    apt-get update && apt-get install -y python3.11 python3.11-venv
    python=python3.11
fi
"$python" -m venv "$root/venv"
"$root/venv/bin/pip" install -r "$root/source/requirements.txt"
"""

OF_THE_PAGE = "jinja2 pygments matplotlib"  # what the inspector needs beside a lab

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for every submission, and reads results/results.json.
set -uo pipefail
root=${{AUTOGRADER:-/autograder}}
mkdir -p "$root/results"
cd "$root"
exec "${{PYTHON:-$root/venv/bin/python}}" -m minicaffe lab grade "$root/submission" -lab {lab} \\
    -seed {seed}{flags} -format gradescope -json "$root/results/results.json"
"""


def publish(
    lab: Lab, out: Path, package: str, seed: int, product: Path | None, staff: Path | None
) -> list[Path]:
    """Write both below `out`; their paths.

    `package` is what pip installs minicaffe from, `seed` that of the autograder. Raises LabError
    if something is there already.
    """
    template, autograder = out / "template", out / "autograder.zip"
    for path in (template, autograder):
        if path.exists():
            raise LabError(f"{path} is there already: release into another folder, or remove it")
    requirement = package or f"minicaffe[{','.join(extras(lab))}]=={__version__}"
    files = {
        ".github/workflows/lab.yml": WORKFLOW.format(lab=lab.name, cache=CACHE),
        "requirements.txt": f"{requirement}\n",
        ".gitignore": f"{CACHE}/\n__pycache__/\ncpu\n",
    }
    start(lab, template)
    files["colab.ipynb"] = notebook(lab, requirement, sorted(template.glob("nets/*.prototxt")))
    for name, text in files.items():
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        (template / name).write_text(text, encoding="utf-8")
    with zipfile.ZipFile(autograder, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("requirements.txt", f"{requirement}\n")
        flags = ""
        if product is not None:
            flags += ' -product "$root/source/product"'
            archive.write(product / "pyproject.toml", "product/pyproject.toml")
            for path in sorted((product / "tests").rglob("*.py")):
                archive.write(path, f"product/{path.relative_to(product)}")
        if staff is not None:
            flags += ' -tests "$root/source/tests"'
            for path in (path for task in lab.tasks for path in staff_tests(staff, task)):
                archive.write(path, f"tests/{path.name}")
        runs = {
            "setup.sh": SETUP,
            "run_autograder": RUN.format(lab=lab.full_name, seed=seed, flags=flags),
        }
        for name, text in runs.items():
            member = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            member.external_attr = EXECUTABLE
            archive.writestr(member, text)
    return [template, autograder]


def extras(lab: Lab) -> list[str]:
    """What pip has to install with minicaffe."""
    return ["labs", *(need for need in lab.needs if need not in ("labs", "numpy"))]


def notebook(lab: Lab, requirement: str, nets: Sequence[Path]) -> str:
    """For Google Colab: install, start, check, and the inspector's page of the first net."""
    what = f"-model nets/{nets[0].name}" if nets else "-ring 4"
    cells = [
        f"!pip install -q '{requirement}' {OF_THE_PAGE}",
        f"!minicaffe lab start {lab.name} && cat {lab.name}/README.md\n"
        f"# Write in the files of the folder {lab.name}, at the left.",
        f"%cd -q /content/{lab.name}\n!minicaffe lab check",
        f"!cd /content/{lab.name} && minicaffe lab run inspect {what} -o page.html\n"
        f"from IPython.display import HTML\n"
        f"HTML(filename='/content/{lab.name}/page.html')",
    ]
    made = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": "python"}},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": text,
            }
            for number, text in enumerate(cells, 1)
        ],
    }
    return json.dumps(made, indent=1) + "\n"
