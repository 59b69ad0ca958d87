"""Curves of trainings: what is read from logs and metrics, and the picture of it."""

import sys
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.errors import MissingExtra, ParseError
from minicaffe.monitor.curves import panels, read_training
from minicaffe.monitor.metrics import Metrics
from minicaffe.monitor.training_log import parse_training_log

pytest.importorskip("matplotlib")

LOG = """
I1122 10:00:00.000000     1 solver.py:1] Iteration 0, Testing net (#0)
I1122 10:00:01.000000     1 solver.py:1]     Test net output #0: accuracy = 0.1
I1122 10:00:01.000000     1 solver.py:1]     Test net output #1: loss = 2.5
I1122 10:00:02.000000     1 solver.py:1] Iteration 0 (1 iter/s), loss = 2.4
I1122 10:00:02.000000     1 solver.py:1]     Train net output #0: loss = 2.3
I1122 10:00:02.000000     1 solver.py:1] Iteration 0, lr = 0.1
I1122 10:00:03.000000     1 solver.py:1] Iteration 100 (1 iter/s), loss = nan
I1122 10:00:03.000000     1 solver.py:1]     Train net output #0: loss = 2.1
I1122 10:00:03.000000     1 solver.py:1] Iteration 100, lr = 0.01
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log, which is the current one."""
    (tmp_path / "a.log").write_text(LOG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def points(text: str, *names: str) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Panel -> label -> points, of trainings that all have this log."""
    log = parse_training_log(text.splitlines())
    found = panels([(name, log) for name in names])
    return {
        panel: {
            curve.label: list(zip(curve.iterations, curve.values, strict=True))
            for curves in trainings
            for curve in curves
        }
        for panel, trainings in found.items()
    }


def test_a_log_has_a_panel_for_each_output() -> None:
    assert points(LOG, "a") == {
        "loss": {"train": [(0, 2.4)], "test": [(0, 2.5)]},  # NaN is not a point
        "accuracy": {"test": [(0, 0.1)]},
        "learning rate": {"": [(0, 0.1), (100, 0.01)]},
    }


def test_several_losses_are_drawn_beside_their_sum() -> None:
    text = LOG.replace(
        "Iteration 0, lr", "    Train net output #1: aux_loss = 0.7\nIteration 0, lr"
    )
    assert points(text, "a")["loss"] == {
        "train sum of losses": [(0, 2.4)],
        "train": [(0, 2.3), (100, 2.1)],
        "train aux_loss": [(0, 0.7)],
        "test": [(0, 2.5)],
    }


def test_curves_of_several_trainings_have_their_names() -> None:
    assert set(points(LOG, "a", "b")["loss"]) == {"a train", "a test", "b train", "b test"}
    assert set(points(LOG, "a", "b")["learning rate"]) == {"a", "b"}


def test_metrics_are_read_too(tmp_path: Path) -> None:
    path = str(tmp_path / "metrics.csv")
    metrics = Metrics(path)
    metrics.add("test", 0, 0.5, {"loss": 2.5, "accuracy": 0.1})
    metrics.add("train", 0, 1.0, {"loss": 2.4, "learning_rate": 0.1, "samples_per_second": 9.0})
    metrics.add("train", 10, 2.0, {"loss": 1.4, "learning_rate": 0.1, "prob[2]": 3.0})
    log = read_training(path)
    assert [(row.iteration, row.seconds, row.loss, row.lr) for row in log.train] == [
        (0, 1.0, 2.4, 0.1),
        (10, 2.0, 1.4, 0.1),
    ]
    (test,) = log.test
    assert (test.iteration, test.outputs) == (0, {"accuracy": 0.1, "loss": 2.5})
    assert list(panels([("m", log)])) == ["loss", "accuracy", "learning rate"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("phase,iteration,seconds,loss\n", "metrics without a row"),
        ("phase,iteration,seconds,loss\ntrain,x,1,2\n", ":2: not a row of metrics"),
        ("phase,iteration,seconds,loss\ntrain\n", ":2: not a row of metrics"),
        ("hello\n", "no line 'Iteration N, loss = ...' in this log"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ParseError) as caught:
        read_training(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


@pytest.mark.parametrize(("name", "start"), [("c.png", b"\x89PNG"), ("c.svg", b"<?xml")])
def test_pictures(
    project: Path, name: str, start: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", "a.log", "a.log", "-o", name]) == 0
    assert capsys.readouterr().out == f"{name}: loss, accuracy, learning rate\n"
    assert (project / name).read_bytes().startswith(start)
    assert {path.name for path in project.iterdir()} == {"a.log", name}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["a.log"], 2, "a picture must be named: -o curves.png"),
        (["-o", "c.png"], 2, "the following arguments are required: LOG"),
        (["a.log", "-o", "c.bmp"], 1, "c.bmp: a picture is .png or .svg"),
        (["gone.log", "-o", "c.png"], 1, "gone.log: cannot be read: No such file"),
        (["a.log", "-o", "gone/c.png"], 1, "gone/c.png: cannot be written: No such file"),
    ],
)
def test_usage(
    project: Path, words: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", *words]) == status
    assert says in capsys.readouterr().err


def test_the_library_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"needs matplotlib: pip install 'minicaffe\[plots\]'"):
        main(["--debug", "plot", "a.log", "-o", "c.png"])
