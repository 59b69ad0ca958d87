"""The command `minicaffe`: Caffe's flags, errors in one line, exit statuses, logs like glog's."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.monitor.training_log import parse_training_log, read_training_log
from tests.conftest import CHECKOUT

GLOG = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] ")

NET = """
name: "tiny"
layer { name: "x" type: "DummyData" top: "x" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 20 display: 5
test_iter: 2 test_interval: 10 snapshot: 10 snapshot_prefix: "tiny" random_seed: 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny net and its solver, which is the current one."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "minicaffe", *words],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        **options,
    )


# --- the frame ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_the_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for name in ("train", "test", "time", "device_query", "convert", "upgrade_net_proto_text"):
        assert re.search(rf"^  {name} +[A-Z].*", said.out, re.MULTILINE)


def test_every_command_explains_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    names = re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)
    for words in [[name] for name in names if name not in ("convert", "cuda", "lab")] + [
        ["convert", "mnist"],
        ["convert", "cifar"],
        ["cuda", "profile"],
        ["cuda", "step"],
        *(["lab", name] for name in ("check", "debug", "grade", "release", "start", "verify")),
    ]:
        with pytest.raises(SystemExit) as done:
            main([*words, "--help"])
        assert done.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: minicaffe {' '.join(words)}")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from minicaffe.cli import main; main(['--help']);"
        "heavy = {'numpy', 'numba', 'google.protobuf', 'pyspark', 'tqdm', 'lmdb'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("flag", ["-version", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    from minicaffe import __version__

    assert main([flag]) == 0
    assert capsys.readouterr().out == f"minicaffe {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "minicaffe: error: no command 'trian'; the nearest: train"),
        (["-gpu", "0"], "minicaffe: error: no command '-gpu' (there are: "),
        (["convert", "mnits"], "minicaffe convert: error: no command 'mnits'; the nearest: mnist"),
        (["train", "-solvr", "x"], "minicaffe train: error: unrecognized arguments: -solvr x;"),
        (["train"], "minicaffe train: error: a solver is needed to train: -solver FILE"),
        (["train", "-solver"], "minicaffe train: error: argument -solver/--solver: expected one"),
        (
            ["train", "-solver", "s", "-snapshot", "s", "-weights", "w"],
            "minicaffe train: error: give -snapshot to resume or -weights to fine-tune, not both",
        ),
        (["train", "-solver=s", "-sigint_effect=die"], "minicaffe train: error: argument -sigint_"),
        (["train", "-solver=s", "-level=x"], "minicaffe train: error: argument -level/--level:"),
        (["test"], "minicaffe test: error: a model is needed to score: -model FILE"),
        (["test", "-model=n"], "minicaffe test: error: weights are needed to score: -weights FILE"),
        (["time"], "minicaffe time: error: a model is needed to time: -model FILE"),
        (["time", "-model=m", "-iterations=0"], "minicaffe time: error: -iterations 0: at least 1"),
        (["time", "-model=m", "stray"], "minicaffe time: error: unrecognized arguments: stray"),
        (["convert", "mnist", "a"], "minicaffe convert mnist: error: the following arguments are"),
        (["parse_log", "a", "b", "-verbose=maybe"], "minicaffe parse_log: error: -verbose=maybe:"),
    ],
)
def test_wrong_usage(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(says)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "-solver", "nowhere"], "minicaffe: error: nowhere:"),
        (["train", "-solver", "bad"], "minicaffe: error: bad:2:1: "),
        (["train", "-solver", "solver.prototxt", "-snapshot", "gone.solverstate"], "gone.solvers"),
        (["train", "-solver", "solver.prototxt", "-weights", "gone.caffemodel"], "gone.caffemodel"),
        (["train", "-solver=solver.prototxt", "-gpu=0,1"], "this command runs on one card"),
        (["train", "-solver=solver.prototxt", "-gpu=x"], "a card's number is expected"),
        (["train", "-solver=solver.prototxt", "-gpu=0", "-device=cpu"], "give one of them"),
        (["train", "-solver=solver.prototxt", "-device=abacus"], "no device 'abacus'"),
        (["test", "-model", "net.prototxt", "-weights", "gone.caffemodel"], "gone.caffemodel"),
        (["upgrade_net_proto_text", "gone", "out"], "gone"),
        (["parse_log", "net.prototxt", "."], "no line 'Iteration N, loss = ...'"),
        (["device_query", "-gpu", "99"], "no card 99"),
        (["device_query", "-gpu", "first"], "numbers of cards are expected"),
    ],
)
def test_errors_are_one_line(
    project: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "bad").write_text("net: 'net.prototxt'\nbase_lrr: 1\n")
    assert main(words) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("minicaffe: error: ")
    assert says in last


def test_debug_shows_the_traceback(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minicaffe.errors import Error

    with pytest.raises(Error):
        main(["--debug", "train", "-solver", "nowhere"])
    monkeypatch.setenv("MINICAFFE_DEBUG", "1")
    with pytest.raises(Error):
        main(["train", "-solver", "nowhere"])


def test_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    from minicaffe.cli import java

    def interrupted(args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(java, "run", interrupted)
    assert main(["java"]) == 130


def test_a_reader_that_goes_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "minicaffe", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=CHECKOUT,
    )
    os.close(writing)
    assert done.stderr == b""


# --- train, test, time --------------------------------------------------------------------------


def test_train_test_time(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(GLOG.match(line) for line in lines)
    log = parse_training_log(lines)
    assert [row.iteration for row in log.train] == [0, 5, 10, 15, 20]
    assert [row.iteration for row in log.test] == [0, 10, 20]
    assert {row.lr for row in log.train[:4]} == {0.1}
    assert log.train[-1].loss < log.train[0].loss / 2
    assert lines[-1].endswith("] Optimization Done.")
    assert (project / "tiny_iter_20.caffemodel").exists()

    words = ["-model=net.prototxt", "--weights=tiny_iter_20.caffemodel", "--iterations", "3"]
    assert main(["test", *words]) == 0
    told = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert "Running for 3 iterations." in told
    assert sum(line.startswith("Batch ") for line in told) == 6
    assert re.fullmatch(r"Loss: [\d.e-]+", told[-3])
    assert re.fullmatch(r"accuracy = [\d.]+", told[-2])
    assert re.fullmatch(r"loss = ([\d.e-]+) \(\* 1 = \1 loss\)", told[-1])

    assert main(["time", "-model", "net.prototxt", "-iterations=2", "-phase=TEST"]) == 0
    told = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    for start in (
        "Initial loss: ",
        "Iteration: 2 forward-backward time: ",
        "        ip\tforward: ",
    ):
        assert any(line.startswith(start) for line in told)
    assert told[-1] == "*** Benchmark ends ***"


def test_time_says_which_way_convolutions_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convolution = """layer { name: "pixels" type: "Convolution" bottom: "x" top: "y"
      convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
    layer { name: "spread" type: "Deconvolution" bottom: "y" top: "z"
      convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
    layer { name: "positive" type: "ReLU" bottom: "z" top: "z" }"""
    net = tmp_path / "net.prototxt"
    images = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 2, 4, 4] } } }'
    )
    net.write_text(images + convolution)
    for device, ways in (("cpu", ("pointwise", "direct")), ("reference", ("im2col", "im2col"))):
        assert main(["time", f"-model={net}", "-iterations=1", f"-device={device}"]) == 0
        told = capsys.readouterr().out
        table = told[told.index("which way kernels went") :].splitlines()
        assert re.split("  +", table[1]) == [
            "layer",
            "forward",
            "to the bottom",
            "to the parameters",
        ]
        assert [line.split() for line in table[3:]] == [
            ["pixels", *(ways[0],) * 3],
            ["spread", *(ways[1],) * 3],
        ]


def test_flags_come_anywhere_with_one_dash_or_two(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--device=reference", "-solver", "solver.prototxt", "train"]) == 0
    assert "Use reference." in capsys.readouterr().err


def test_resume_goes_on_where_it_stopped(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    whole = (project / "tiny_iter_20.caffemodel").read_bytes()
    (project / "tiny_iter_20.caffemodel").unlink()
    words = ["train", "-solver", "solver.prototxt", "-snapshot", "tiny_iter_10.solverstate"]
    assert main(words) == 0
    assert "Resuming from tiny_iter_10.solverstate" in capsys.readouterr().err
    assert (project / "tiny_iter_20.caffemodel").read_bytes() == whole


def test_weights_are_taken(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    first = parse_training_log(capsys.readouterr().err.splitlines())
    words = ["train", "-solver", "solver.prototxt", "-weights", "tiny_iter_20.caffemodel"]
    assert main(words) == 0
    tuned = parse_training_log(capsys.readouterr().err.splitlines())
    assert tuned.train[0].loss < first.train[0].loss / 2


def test_stages_and_levels_select_layers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = (
        'layer { name: "extra" type: "Silence" bottom: "x" include { stage: "deep" min_level: 2 } }'
    )
    (project / "net.prototxt").write_text(NET + rule)
    for words, there in (
        ([], False),
        (["-stage=deep"], False),
        (["-stage=wide,deep", "-level=2"], True),
    ):
        assert main(["time", "-model=net.prototxt", "-iterations=1", *words]) == 0
        assert ("Creating Layer extra" in capsys.readouterr().err) is there
        assert main(["train", "-solver=solver.prototxt", *words]) == 0
        assert ("Creating Layer extra" in capsys.readouterr().err) is there


def test_a_solver_for_a_card_runs_without_one(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from minicaffe import device

    monkeypatch.setattr(device, "known_devices", lambda: ["cpu", "reference"])
    (project / "solver.prototxt").write_text(SOLVER + "solver_mode: GPU device_id: 2")
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    told = capsys.readouterr().err
    assert "The solver asks for GPU 2; there is none here." in told
    assert "Use CPU." in told


@pytest.mark.parametrize(
    ("number", "flags", "snapshots", "stops"),
    [
        (signal.SIGINT, [], ["tiny_iter_1"], True),
        (signal.SIGINT, ["-sigint_effect=snapshot"], ["tiny_iter_1", "tiny_iter_20"], False),
        (signal.SIGINT, ["-sigint_effect=none"], ["tiny_iter_20"], False),
        (signal.SIGHUP, [], ["tiny_iter_1", "tiny_iter_20"], False),
        (signal.SIGHUP, ["-sighup_effect=stop"], ["tiny_iter_1"], True),
    ],
)
def test_signals(
    project: Path,
    number: signal.Signals,
    flags: list[str],
    snapshots: list[str],
    stops: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from minicaffe.solver.solver import Solver

    (project / "solver.prototxt").write_text(SOLVER.replace("snapshot: 10", ""))
    apply_update = Solver.apply_update

    def first_then_signal(solver: Solver) -> float:
        if solver.iter == 0:
            signal.raise_signal(number)
        return apply_update(solver)

    monkeypatch.setattr(Solver, "apply_update", first_then_signal)
    before = signal.getsignal(number)
    assert main(["train", "-solver", "solver.prototxt", *flags]) == 0
    assert signal.getsignal(number) is before
    found = {path.stem for path in project.glob("*.caffemodel")}
    assert found == set(snapshots)
    assert ("Optimization stopped early." in capsys.readouterr().err) is stops


def test_log_levels(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "1")
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    assert capsys.readouterr().err == ""


# --- against the real Caffe ---------------------------------------------------------------------


@pytest.fixture
def caffe_logs(goldens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A writable copy of what the real tools ran on; the current folder."""
    for name in ("logs", "db_lmdb"):
        shutil.copytree(goldens / "files" / name, tmp_path / "files" / name)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "files" / "logs"


def outputs(text: str) -> list[tuple[str, float]]:
    """The lines of a log that name a number, without time, place and speed."""
    found = re.findall(
        r"\] +((?:(?:Train|Test) net output #\d+: |Batch \d+, |Iteration \d+, )?\w+ = |"
        r"Iteration \d+ \(.*\), loss = |Test loss: |Loss: )([-\d.e+]+)",
        text,
    )
    return [(re.sub(r" \(.*\)", "", name), float(value)) for name, value in found]


def test_train_tells_what_caffe_told(
    caffe_logs: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-solver=files/logs/solver.prototxt", f"-device={device}"]) == 0
    mine, caffes = outputs(capsys.readouterr().err), outputs((caffe_logs / "train.log").read_text())
    assert len(caffes) == 25
    assert [name for name, _ in mine] == [name for name, _ in caffes]
    assert [value for _, value in mine] == pytest.approx([value for _, value in caffes], rel=1e-4)


def test_test_tells_what_caffe_told(
    caffe_logs: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-model=files/logs/net.prototxt", "-weights=files/logs/snap_iter_10.caffemodel"]
    assert main(["test", *words, "-iterations=2", f"-device={device}"]) == 0
    mine, caffes = outputs(capsys.readouterr().err), outputs((caffe_logs / "test.log").read_text())
    assert len(caffes) == 7
    assert [name for name, _ in mine] == [name for name, _ in caffes]
    assert [value for _, value in mine] == pytest.approx([value for _, value in caffes], rel=1e-4)


def test_upgraded_files_are_caffes(goldens: Path, tmp_path: Path) -> None:
    from minicaffe.proto import minicaffe_pb2 as pb
    from minicaffe.proto.files import read_text

    legacy = goldens / "files" / "legacy"
    pairs = [path for path in sorted(legacy.glob("*.prototxt")) if ".upgraded" not in path.name]
    assert len(pairs) > 8
    for path in pairs:
        kind = "solver" if path.name.startswith("solver") else "net"
        out = tmp_path / path.name
        assert main([f"upgrade_{kind}_proto_text", str(path), str(out)]) == 0
        schema = pb.SolverParameter if kind == "solver" else pb.NetParameter
        wanted = path.with_suffix(".upgraded.prototxt")
        if wanted.exists():
            assert read_text(out, schema()) == read_text(wanted, schema()), path.name


def test_upgraded_weights_are_caffes(goldens: Path, tmp_path: Path) -> None:
    from minicaffe.proto.files import read_net_binary

    legacy = goldens / "files" / "legacy"
    out = tmp_path / "out.caffemodel"
    words = ["upgrade_net_proto_binary", str(legacy / "v1_run.caffemodel"), str(out)]
    assert main(words) == 0
    assert read_net_binary(out) == read_net_binary(legacy / "v1_run.upgraded.caffemodel")


def test_parse_log_reads_caffes_logs(goldens: Path, tmp_path: Path) -> None:
    assert main(["parse_log", str(goldens / "files/logs/train.log"), str(tmp_path)]) == 0
    assert (tmp_path / "train.log.train").read_text().splitlines() == [
        "NumIters,Seconds,LearningRate,loss",
        "0.0,0.0,0.05,2.06935",
        "2.0,0.0,0.05,1.88455",
        "4.0,0.0,0.05,1.66864",
        "6.0,0.0,0.005,0.925409",
        "8.0,0.0,0.005,0.540706",
    ]
    assert (tmp_path / "train.log.test").read_text().splitlines() == [
        "NumIters,Seconds,LearningRate,accuracy,loss",
        "0.0,0.0,0.05,0.1,2.18805",
        "5.0,0.0,0.05,0.6,1.42004",
        "10.0,0.0,0.005,0.8,0.666138",
    ]


def test_seconds_pass_midnight(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "I1231 23:59:50.000000     1 solver.cpp:289] Solving x\n"
        "I1231 23:59:55.500000     1 solver.cpp:239] Iteration 0, loss = nan\n"
        "I0101 00:00:05.000000     1 solver.cpp:239] Iteration 9 (1 iter/s), loss = 1e-05\n"
    )
    log = read_training_log(tmp_path / "log")
    assert [(row.iteration, row.seconds) for row in log.train] == [(0, 5.5), (9, 15.0)]
    assert log.train[1].loss == 1e-05


@pytest.mark.parametrize(
    ("database", "backend", "wanted"),
    [
        ("db_lmdb", "lmdb", "mean.binaryproto"),
        ("db_leveldb", "leveldb", "mean_from_leveldb.binaryproto"),
    ],
)
def test_the_mean_image_is_caffes(
    goldens: Path, tmp_path: Path, database: str, backend: str, wanted: str
) -> None:
    files, out = goldens / "files", tmp_path / "mean.binaryproto"
    words = ["compute_image_mean", f"--backend={backend}", str(files / database), str(out)]
    assert main(words) == 0
    assert out.read_bytes() == (files / wanted).read_bytes()
