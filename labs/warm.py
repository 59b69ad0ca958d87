"""A warm process that forks a child for each run of tests: what all runs import is there already.

`Warm` starts `python -m minicaffe.labs.warm` with a student's folder on MINICAFFE_PATH, tells it
what tests import, and then gives it runs, one line of JSON each. Of the folder's own modules, and
of those that import them, nothing is imported before the fork: every child has the files as they
are then.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .children import Run, end_group, read_record


class Warm:
    """The process, from outside. Ends it in `close`, or at the end of a `with` block."""

    def __init__(self, folder: Path, files: Sequence[str], variables: Mapping[str, str]) -> None:
        """`files` of the folder may change between runs."""
        self._scratch = tempfile.TemporaryDirectory(prefix="minicaffe-warm-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *files],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(variables), cwd=folder,
            text=True, start_new_session=True,
        )  # fmt: skip

    def prepare(self, words: Sequence[str], cwd: Path, seconds: float) -> Run:
        """Run the tests once, and import from then on what they imported."""
        return self._ask({"words": list(words), "cwd": str(cwd), "learn": True}, seconds)

    def run(self, words: Sequence[str], cwd: Path, seconds: float) -> Run:
        """pytest with these words, in a fork."""
        return self._ask({"words": list(words), "cwd": str(cwd)}, seconds)

    def _ask(self, request: dict[str, Any], seconds: float) -> Run:
        place = Path(self._scratch.name)
        record, output = place / "record", place / "output"
        for path in (record, output, record.with_suffix(".stacks")):
            path.unlink(missing_ok=True)
        request["words"] += [f"--lab-record={record}", f"--lab-seconds={seconds:g}"]
        request |= {"seconds": seconds, "output": str(output)}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the warm process ended ({self._process.wait()})")
        status, late = json.loads(answer)
        stacks = record.with_suffix(".stacks")
        return Run(
            read_record(record),
            status,
            late or status == -signal.SIGXCPU,
            output.read_text(encoding="utf-8", errors="replace")[-20_000:],
            stacks.read_text(encoding="utf-8", errors="replace") if stacks.exists() else "",
        )

    def close(self) -> None:
        """End the process and what it left."""
        end_group(self._process.pid)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._scratch.cleanup()

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


# --- inside of the process -----------------------------------------------------------------------


class Blocked(BaseException):
    """A module of the student's folder was asked for before the fork; no `except` takes it."""


class _Block:
    """Finds nothing, and refuses the modules of these names."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name in self.names:
            raise Blocked(name)


def import_all(names: Sequence[str], blocked: set[str]) -> None:
    """Import what can be imported without the blocked modules."""
    block = _Block(blocked)
    sys.meta_path.insert(0, block)
    for name in names:
        with contextlib.suppress(Exception, Blocked):
            importlib.import_module(name)
    sys.meta_path.remove(block)


def serve(files: Sequence[str]) -> None:
    """Answer requests until there are no more."""
    modules = [name.removesuffix(".py").removesuffix("/__init__") for name in files]
    blocked = {"minicaffe." + name.replace("/", ".") for name in modules}
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import_all(["numpy", "pytest", "_pytest.assertion.rewrite", "minicaffe.labs.plugin"], blocked)
    for line in sys.stdin:
        request = json.loads(line)
        learned = Path(request["output"] + ".modules")
        child = os.fork()
        if not child:
            _be_the_child(request, learned)
        status, late = _await(child, request["seconds"])
        end_group(child)
        if learned.exists():
            import_all(json.loads(learned.read_text(encoding="utf-8")), blocked)
            learned.unlink()
        answers.write(json.dumps([status, late]) + "\n")


def _be_the_child(request: dict[str, Any], learned: Path) -> None:
    """Run pytest and end."""
    status = 70
    try:
        os.setsid()
        os.dup2(os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(request["cwd"])
        importlib.invalidate_caches()
        import pytest

        status = int(pytest.main(request["words"]))
        if request.get("learn"):
            names = [
                name
                for name, module in list(sys.modules.items())
                if name.partition(".")[0] not in ("tests", "labs", "__main__", "conftest")
                and getattr(module, "__spec__", None) is not None
            ]
            learned.write_text(json.dumps(names), encoding="utf-8")
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)


def _await(child: int, seconds: float) -> tuple[int, bool]:
    """The child's status, negative for a signal, and whether it was ended at its limit."""
    deadline, late = time.monotonic() + seconds, False
    pause = 0.002
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), late
        if time.monotonic() > deadline and not late:
            late = True
            end_group(child)
        time.sleep(pause)
        pause = min(pause * 1.2, 0.02)


if __name__ == "__main__":
    serve(sys.argv[1:])
