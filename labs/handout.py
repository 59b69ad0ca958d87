"""The commands of a handout, run as a student who has written everything would run them.

Taken are the lines of code blocks (indented, or fenced) that begin with `minicaffe`, `cd` or
`python`, with or without `$ ` or variables (`NAME=value`) before them; two spaces end a command.
What waits for a person is left out, and so are checks, which `verify` has made before: of them only
the task's name is looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .course import Lab, LabError
from .folder import start
from .release import released

COMMAND = re.compile(
    r"^(?: {4}|\t)?(?:\$ )?((?:[A-Z_]+=\S+ )*(?:minicaffe|cd|python) .*?)(?: {2,}.*)?$"
)
NOT_RUN = re.compile(r"lab debug|\.\.\.|<|\[|\b[A-Z]{3,}\b(?!=)|submit|pip ")
CHECK = "minicaffe lab check"
SECONDS = 300


def commands(text: str) -> list[str]:
    """What a handout tells to run, in order."""
    found, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith(("    ", "\t")):
            match = COMMAND.match(line)
            if match and not NOT_RUN.search(match[1]):
                found.append(match[1].strip())
    return found


def run_commands(lab: Lab, scratch: Path) -> list[str]:
    """Run them all in a folder; what went wrong, a sentence each."""
    scratch.mkdir(parents=True, exist_ok=True)
    told = commands((lab.folder / "README.md").read_text(encoding="utf-8"))
    here = scratch
    if not any(command.startswith(f"minicaffe lab start {lab.name}") for command in told):
        here = scratch / lab.name
        start(lab, here)
        _write_all(lab, scratch)
    faults: list[str] = []
    for command in dict.fromkeys(told):
        if command.startswith(CHECK):
            faults += _unknown_task(lab, command)
            continue
        if command.startswith("cd "):
            here = here / command.split()[1].rstrip(";")
            if not here.is_dir():
                return [*faults, f"README.md: {command}: there is no such folder"]
            continue
        status, said = _run(command, here)
        if status:
            faults.append(f"README.md: {command}: {status}: {' | '.join(said.splitlines()[-3:])}")
        if "lab start" in command:
            _write_all(lab, scratch)
    return faults


def _unknown_task(lab: Lab, command: str) -> list[str]:
    """What is wrong with the task that a check names."""
    words = [word for word in command.removeprefix(CHECK).split() if not word.startswith("-")]
    try:
        for name in words[:1]:
            lab.task(name)
    except LabError as error:
        return [f"README.md: {command}: {error}"]
    return []


def _run(command: str, here: Path) -> tuple[str, str]:
    """How a command ended if not well, and what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = {**os.environ, "PATH": path, "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(
            ["bash", "-c", command], cwd=here, capture_output=True, text=True, timeout=SECONDS,
            stdin=subprocess.DEVNULL, env=variables,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not over after {SECONDS} s", ""
    said = (done.stderr or done.stdout).strip()
    return (f"status {done.returncode}" if done.returncode else ""), said


def _write_all(lab: Lab, scratch: Path) -> None:
    """Put the answers into the folders that were started."""
    for mark in scratch.glob("*/.lab.json"):
        for file in released(lab, stubs=()):
            (mark.parent / file.path).write_bytes(file.content)
