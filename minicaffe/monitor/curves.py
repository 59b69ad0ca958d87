"""The curves of trainings: loss, rate and outputs over iterations, from logs and metrics files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Error, ParseError, extra
from ..machine.whole_file import whole_file
from .metrics import FIRST_COLUMNS, NEXT_COLUMNS
from .training_log import Row, TrainingLog, read_training_log

FORMATS = (".png", ".svg")
RATE = "learning rate"
SUM = "sum of losses"
PANEL_SIZE = (6.4, 3.4)  # inches
MARKED = 40  # points up to which each is marked


@dataclass
class Curve:
    """Values by iteration; what is not finite is left out."""

    test: bool
    label: str = ""
    iterations: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, iteration: int, value: float) -> None:
        """Append a point."""
        if math.isfinite(value):
            self.iterations.append(iteration)
            self.values.append(value)


def read_training(path: str | os.PathLike[str]) -> TrainingLog:
    """A training's rows from its log (Caffe's or ours) or from the CSV file of our metrics.

    Raises ParseError for a file that is neither.
    """
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            if file.readline().startswith(",".join(FIRST_COLUMNS)):
                file.seek(0)
                return _read_metrics(file, path)
    except OSError as error:
        raise ParseError(f"{path}: cannot be read: {error.strerror}") from error
    return read_training_log(path)


def _read_metrics(file: Iterable[str], path: str | os.PathLike[str]) -> TrainingLog:
    log = TrainingLog()
    for number, line in enumerate(csv.DictReader(file), 2):
        try:
            values = {
                name: float(value)
                for name, value in line.items()
                if value and name and name not in FIRST_COLUMNS
            }
            row = Row(int(line["iteration"]), float(line["seconds"]))
        except (TypeError, ValueError):
            raise ParseError(f"{path}:{number}: not a row of metrics") from None
        row.loss, row.lr = values.get("loss", math.nan), values.get("learning_rate", math.nan)
        row.outputs = {name: value for name, value in values.items() if name not in NEXT_COLUMNS}
        if line["phase"] == "train":
            log.train.append(row)
        else:
            row.outputs |= {"loss": row.loss} if "loss" in values else {}
            log.test.append(row)
    if not log.train and not log.test:
        raise ParseError(f"{path}: metrics without a row")
    return log


def panels(logs: Sequence[tuple[str, TrainingLog]]) -> dict[str, list[list[Curve]]]:
    """The curves of trainings (name, rows): by panel, then by training.

    Panels are "loss", for every output with "loss" in its name, then each other output, in order of
    appearance, and the learning rate. Elements of long outputs (name[3]) have none.
    """
    found: dict[str, list[list[Curve]]] = {"loss": [[] for _ in logs]}
    for number, (name, log) in enumerate(logs):
        for (phase, output), curve in _curves(log).items():
            panel = "loss" if "loss" in output.lower() else output
            words = (
                [name] * (len(logs) > 1) + [phase] * (panel != RATE) + [output] * (panel != output)
            )
            curve.label = " ".join(words)
            found.setdefault(panel, [[] for _ in logs])[number].append(curve)
    rates = found.pop(RATE, None)
    if rates:
        found[RATE] = rates
    return {name: curves for name, curves in found.items() if any(curves)}


def _curves(log: TrainingLog) -> dict[tuple[str, str], Curve]:
    """The curves of one training, by phase and name, those with a point."""
    curves: dict[tuple[str, str], Curve] = {}
    losses = {name for row in log.train for name in row.outputs if "loss" in name.lower()}
    several = len(losses) > 1
    for phase, rows in (("train", log.train), ("test", log.test)):
        for row in rows:
            values = {name: value for name, value in row.outputs.items() if "[" not in name}
            if phase == "train":
                # What is displayed is the smoothed sum of the outputs' losses.
                values = {k: v for k, v in values.items() if k not in losses or several}
                values = {SUM if several else "loss": row.loss, **values, RATE: row.lr}
            for name, value in values.items():
                curve = curves.setdefault((phase, name), Curve(phase == "test"))
                curve.add(row.iteration, value)
    return {key: curve for key, curve in curves.items() if curve.values}


def plot(logs: Sequence[tuple[str, TrainingLog]], path: str | os.PathLike[str]) -> list[str]:
    """Draw the curves of trainings into a .png or .svg file, which is written whole.

    Tests are drawn dashed, each training in a colour of its own. Returns the names of the panels.
    Raises Error for another kind of file or one that cannot be written, MissingExtra without
    matplotlib.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise Error(f"{target}: a picture is {' or '.join(FORMATS)}")
    shown = panels(logs)
    if not shown:
        raise Error(f"{', '.join(name for name, _ in logs)}: nothing to plot")
    width, height = PANEL_SIZE
    pictures = extra("matplotlib.figure", "plots", "a plot")
    figure = pictures.Figure(figsize=(width, height * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for place, (name, trainings) in zip(axes, shown.items(), strict=True):
        _draw(place, name, trainings)
    axes[-1].set_xlabel("iteration")
    with whole_file(target) as beside:
        figure.savefig(beside, format=target.suffix.lower()[1:], dpi=120)
    return list(shown)


def _draw(axes: Any, name: str, trainings: Sequence[Sequence[Curve]]) -> None:
    for number, curves in enumerate(trainings):
        for index, curve in enumerate(curves):
            # One training has a colour a curve; of several, each has one colour for all curves.
            colour = number if len(trainings) > 1 else index
            axes.plot(
                curve.iterations,
                curve.values,
                color=f"C{colour % 10}",
                linestyle="--" if curve.test else "-",
                linewidth=1.4,
                marker="o" if len(curve.values) <= MARKED else None,
                markersize=3,
                label=curve.label,
            )
    values = [value for curves in trainings for curve in curves for value in curve.values]
    if name == RATE and min(values) > 0 and max(values) / min(values) > 5:
        axes.set_yscale("log")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    if name != RATE or len(trainings) > 1:
        axes.legend(frameon=False)
