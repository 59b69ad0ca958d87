"""Start-up: nothing heavy is imported before it is needed; compilations are shown and kept."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.compiling import Compiling

CHECKOUT = Path(__file__).resolve().parent.parent
HEAVY = ("numba", "llvmlite", "pyspark", "pandas", "h5py", "cv2", "matplotlib", "onnx", "tqdm")


@pytest.mark.parametrize(
    "code",
    [
        "import minicaffe",
        "import minicaffe; minicaffe.set_num_threads(2); minicaffe.num_threads()",
        "import minicaffe; minicaffe.Net; minicaffe.SGDSolver; minicaffe.NetSpec",
        "import minicaffe.solver, minicaffe.batches, minicaffe.progress",
        "from minicaffe.cli import main; main(['--help'])",
        "from minicaffe.cli import main; main(['--version'])",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    code += f"; import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


# --- what is seen of compilations ----------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def compile_two(compiling: Compiling) -> None:
    """One function that is compiled in the course of another."""
    compiling.begins("relu._forward")
    compiling.begins("relu._slope")
    compiling.ends("relu._slope")
    compiling.ends("relu._forward")


@pytest.fixture
def verbose(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of glog's keeps quiet."""
    monkeypatch.delenv("GLOG_minloglevel", raising=False)


@pytest.mark.usefixtures("verbose")
def test_a_terminal_shows_one_line_and_removes_it() -> None:
    terminal = Terminal()
    compiling = Compiling(terminal)
    compile_two(compiling)
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines[1] == "compiling kernels for this machine, once: 0 so far (relu._forward)"
    assert lines[3] == "compiling kernels for this machine, once: 1 so far (relu._forward)"
    assert lines[-1] == ""
    assert "\n" not in terminal.getvalue()
    assert compiling.count == 2
    assert compiling.seconds > 0


@pytest.mark.usefixtures("verbose")
def test_elsewhere_the_log_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    compiling = Compiling(stream)
    with caplog.at_level(logging.INFO, "minicaffe"):
        compile_two(compiling)
        compile_two(compiling)
    assert stream.getvalue() == ""
    assert [record.getMessage() for record in caplog.records] == [
        "Compiling kernels for this machine, once; `minicaffe warmup` does it beforehand"
    ]


@pytest.mark.parametrize("visible", [False, True])
def test_silence(visible: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "1" if visible else "0")
    terminal = Terminal()
    compiling = Compiling(terminal)
    compiling.visible = visible
    compile_two(compiling)
    assert terminal.getvalue() == ""


def test_a_compilation_that_failed_does_not_count() -> None:
    compiling = Compiling(io.StringIO())
    compiling.begins("a")
    compiling.begins("b")
    compiling.ends("a")
    compiling.begins("c")
    compiling.ends("c")
    assert compiling.count == 2
