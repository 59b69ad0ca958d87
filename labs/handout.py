"""The commands of a handout, run as a student who has written everything would run them.

Taken are the lines of code blocks (indented, or fenced) that begin with `minicaffe`, `cd` or
`python`, with or without `$ ` or variables (`NAME=value`) before them; two spaces end a command.
What waits for a person is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .course import Lab
from .release import released

COMMAND = re.compile(
    r"^(?: {4}|\t)?(?:\$ )?((?:[A-Z_]+=\S+ )*(?:minicaffe|cd|python) .*?)(?: {2,}.*)?$"
)
NOT_RUN = re.compile(r"lab debug|\.\.\.|<|\[|\b[A-Z]{3,}\b(?!=)|submit|pip ")
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
    if not any(command.startswith(f"minicaffe lab start {lab.name}") for command in told):
        told.insert(0, f"minicaffe lab start {lab.name}")
        told.insert(1, f"cd {lab.name}")
    here = scratch
    faults: list[str] = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for command in told:
        if command.startswith("cd "):
            here = here / command.split()[1].rstrip(";")
            if not here.is_dir():
                return [*faults, f"README.md: {command}: there is no such folder"]
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=here, capture_output=True, text=True, timeout=SECONDS,
            stdin=subprocess.DEVNULL, env={**os.environ, "PATH": path, "MPLBACKEND": "Agg"},
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-3:]
            faults.append(f"README.md: {command}: status {done.returncode}: {' | '.join(said)}")
        for mark in scratch.glob("*/.lab.json") if "lab start" in command else ():
            for file in released(lab, stubs=()):
                (mark.parent / file.path).write_bytes(file.content)
    return faults
