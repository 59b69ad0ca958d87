"""Metrics and progress: what the driver shows of a training."""

import csv
import io
import math
import sys
from pathlib import Path

import pytest

from minicaffe.errors import Error
from minicaffe.monitor.metrics import TABLE_ROWS, Metrics, columns_of
from minicaffe.monitor.progress import Progress


def fill(metrics: Metrics, iterations: int, every: int = 10) -> Metrics:
    for iteration in range(0, iterations, every):
        if iteration % (2 * every) == 0:
            metrics.add("test", iteration, 0.1, {"accuracy": 0.5, "loss": 2.0})
        values = {"loss": 1 / (iteration + 1), "learning_rate": 0.01}
        metrics.add("train", iteration, iteration / 3, values)
    return metrics


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_is_complete_after_every_row(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    metrics = Metrics(str(path))
    assert not path.exists()
    metrics.add("train", 0, 1.23456, {"loss": 2.5, "learning_rate": 0.01})
    assert read(path) == [
        {"phase": "train", "iteration": "0", "seconds": "1.235", "loss": "2.5",
         "learning_rate": "0.01"}
    ]  # fmt: skip
    metrics.add("test", 10, 2, {"accuracy": 0.5, "loss": 2.0})
    metrics.add("train", 10, 3, {"loss": 2.25, "learning_rate": 0.01})
    rows = read(path)
    assert list(rows[0]) == ["phase", "iteration", "seconds", "loss", "learning_rate", "accuracy"]
    assert [row["accuracy"] for row in rows] == ["", "0.5", ""]
    assert [row["loss"] for row in rows] == ["2.5", "2.0", "2.25"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_run_replaces_the_file_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    fill(Metrics(str(path)), 60)
    resumed = Metrics(str(path), resume_at=29)
    assert [row["iteration"] for row in resumed.rows] == [0, 0, 10, 20, 20]
    assert resumed.rows[1]["loss"] == 1.0
    resumed.add("train", 30, 5, {"loss": 7.0})
    assert [row["iteration"] for row in read(path)] == ["0", "0", "10", "20", "20", "30"]
    Metrics(str(path)).add("train", 0, 1, {"loss": 9.0})
    assert [row["loss"] for row in read(path)] == ["9.0"]


def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("my,own,table\n1,2,3\n")
    with pytest.raises(Error, match=r"m\.csv is there, but it is not a file of metrics"):
        Metrics(str(path), resume_at=5)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    metrics = Metrics(str(tmp_path / "none" / "m.csv"))
    with pytest.raises(Error, match=r"m\.csv: cannot be written: No such file"):
        metrics.add("train", 0, 0, {"loss": 1.0})


def test_event_files_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    metrics = fill(Metrics(tensorboard=str(tmp_path / "events")), 30)
    metrics.close()
    (path,) = (tmp_path / "events").iterdir()
    data, scalars = path.read_bytes(), {}
    while data:  # length u64, its crc u32, an event, its crc u32
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]
        for value in event.summary.value:
            scalars[value.tag, event.step] = value.simple_value
    assert scalars["train/loss", 10] == pytest.approx(1 / 11)
    assert scalars["test/accuracy", 20] == 0.5


def test_the_table_puts_tests_beside_training() -> None:
    table = fill(Metrics(), 40).table().splitlines()
    assert " ".join(table[0].split()) == "iteration loss learning_rate test accuracy test loss"
    assert table[1].split() == ["0", "1", "0.01", "0.5", "2"]
    assert table[2].split() == ["10", "0.09091", "0.01"]
    assert not any(line.endswith(" ") for line in table)


def test_the_table_for_a_notebook() -> None:
    metrics = fill(Metrics(), 20)
    metrics.add("test", 0, 1, {"<b>": 1.0})
    lines = metrics.html_table().splitlines()
    assert lines[1].startswith("<tr><th>iteration</th><th>loss</th><th>learning_rate</th>")
    assert "<th>test &lt;b&gt;</th>" in lines[1]
    assert [line[8:10] for line in lines[2:4]] == ["0<", "10"]


@pytest.mark.parametrize("rows", [1, TABLE_ROWS, TABLE_ROWS + 1, 1000])
def test_a_long_table_is_thinned_and_keeps_its_end(rows: int) -> None:
    table = fill(Metrics(), rows, every=1).table().splitlines()
    assert len(table) - 1 <= TABLE_ROWS
    assert table[-1].split()[0] == str(rows - 1)


def test_wide_outputs_have_no_columns() -> None:
    values = (
        {"loss": 1.0} | {f"prob[{i}]": 0.0 for i in range(100)} | {"two[0]": 1.0, "two[1]": 2.0}
    )
    assert columns_of(values) == {"loss": 1.0, "two[0]": 1.0, "two[1]": 2.0}


# --- progress ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(100, stream=stream)
    progress.update(1, 2.345678, 0.01, 123.4, 0.081, line=True)
    progress.update(2, 2.3, 0.01, 123.4, 0.081)
    progress.update(51, 1.5, 0.01, 200, 0.05, line=True)
    progress.write("a word")
    progress.close()
    first, second, third = stream.getvalue().splitlines()
    assert first == "iteration 1/100  loss 2.346  lr 0.01  123 samples/s  communication 8%"
    assert second.startswith("iteration 51/100  loss 1.5  lr 0.01  200 samples/s")
    assert second.endswith("0:00 left")
    assert third == "a word"


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    progress = Progress(100, start=40, stream=stream)
    progress.update(70, 0.5, 0.01, 100, 0.1)
    progress.write("a word")
    progress.update(100, 0.25, 0.01, 100, 0.1, line=True)
    progress.close()
    shown = stream.getvalue()
    assert "40/100" in shown
    assert "100/100" in shown
    assert "loss 0.25" in shown
    assert "a word\n" in shown
    assert "\r" in shown


def test_standard_error_is_the_default() -> None:
    assert Progress(1).stream is sys.stderr


def test_a_loss_that_is_no_number_is_shown() -> None:
    stream = io.StringIO()
    Progress(3, stream=stream).update(1, math.nan, 0.1, 1, 0, line=True)
    assert "loss nan" in stream.getvalue()
