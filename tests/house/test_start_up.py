"""Start-up: nothing heavy is imported before it is needed; compilations are shown and kept."""

import io
import logging
import os
import subprocess
import sys
from typing import Any

import pytest

import minicaffe
from minicaffe import context
from minicaffe.cli import _warm_up_jobs as warmup
from minicaffe.cli import main
from minicaffe.layer import known_types
from minicaffe.layer_example import needs_files
from minicaffe.machine.compiling import Compiling, compiling
from minicaffe.net.net import Net
from minicaffe.solver.create import known_solvers
from tests.conftest import CHECKOUT

HEAVY = ("numba", "llvmlite", "pyspark", "pandas", "h5py", "cv2", "matplotlib", "onnx", "tqdm")


@pytest.mark.parametrize(
    "code",
    [
        "import minicaffe",
        "import minicaffe; minicaffe.set_num_threads(2); minicaffe.num_threads()",
        "import minicaffe; minicaffe.Net; minicaffe.SGDSolver; minicaffe.NetSpec",
        "import minicaffe.solver.solver, minicaffe.data.batches, minicaffe.monitor.progress",
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


# --- minicaffe warmup ----------------------------------------------------------------------------


def test_the_warm_up_runs_every_layer_and_solver() -> None:
    names = {job.name for job in warmup.serial_jobs()}
    solvers = {f"{name}Solver" for name in known_solvers()}
    others = {"fused layers", "wide convolution", "LeNet", "CIFAR-10 quick"}
    layers = {name for name in known_types() if not needs_files(name)}
    assert names == layers | solvers | others


@pytest.mark.parametrize("name", ["BatchNorm", "Filter", "Accuracy", "AdamSolver"])
def test_a_job_of_the_warm_up_leaves_no_trace(name: str) -> None:
    before = minicaffe.num_threads(), context.current().rng.get_state()
    next(job for job in warmup.serial_jobs() if job.name == name).run()
    assert (minicaffe.num_threads(), context.current().rng.get_state()) == before


@pytest.mark.parametrize(
    ("param", "parameters"),
    [(warmup.lenet(), 431_080), (warmup.cifar10_quick(), 145_578)],
    ids=["LeNet", "CIFAR-10 quick"],
)
def test_the_nets_of_the_warm_up_are_the_known_ones(param: Any, parameters: int) -> None:
    assert Net(param, minicaffe.TRAIN).flat_params.count == parameters


def test_the_command_tells_where_the_kernels_lie(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job for job in warmup.serial_jobs() if job.name == "ReLU"]
    monkeypatch.setattr(warmup, "serial_jobs", lambda: jobs)
    monkeypatch.setattr(warmup, "parallel_jobs", lambda: [])
    monkeypatch.setattr(compiling, "visible", True)
    assert main(["warmup"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("compiled ")
    assert second.startswith(f"kept in {warmup.cache_folder()}: ")
    assert second.endswith(" MB")


def test_without_a_compiler_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert main(["warmup"]) == 1
    assert "NUMBA_DISABLE_JIT is set" in capsys.readouterr().err


LENET = """
import minicaffe
from minicaffe.machine.compiling import compiling
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.create import create_solver
from minicaffe.cli._warm_up_jobs import lenet
minicaffe.set_num_threads(2)
param = pb.SolverParameter(base_lr=0.01, lr_policy="fixed", max_iter=1)
param.net_param.CopyFrom(lenet())
create_solver(param).step(1)
print(compiling.count)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_the_warm_up_nothing_is_compiled() -> None:
    def run(*words: str) -> str:
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        ).stdout

    run("-m", "minicaffe", "warmup")
    assert run("-m", "minicaffe", "warmup").startswith("compiled 0 functions")
    assert run("-c", LENET).strip() == "0"
