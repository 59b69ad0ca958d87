"""What a training's log tells: loss, rate and outputs by iteration, from Caffe's logs and ours."""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ParseError

NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|inf|nan))"
_stamp = re.compile(r"^[IWEF](?:\d{4}){1,2} (\d+):(\d+):(\d+\.\d+)\s")
_iteration = re.compile(rf"Iteration (\d+)(?: \([^)]*\))?(?:, loss = {NUMBER})?")
_rate = re.compile(rf"Iteration (\d+), lr = {NUMBER}")
_output = re.compile(rf"(Train|Test) net output #\d+: (\S+) = {NUMBER}", re.IGNORECASE)
DAY = 24 * 3600


@dataclass
class Row:
    """One displayed iteration, or one test: seconds since solving began, rate, outputs by name."""

    iteration: int
    seconds: float = math.nan
    lr: float = math.nan
    loss: float = math.nan  # smoothed, as displayed; NaN for a test
    outputs: dict[str, float] = field(default_factory=dict)


@dataclass
class TrainingLog:
    """The rows of a log, in order."""

    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)


def read_training_log(path: str | os.PathLike[str]) -> TrainingLog:
    """Parse a log file. Raises ParseError when it cannot be read or holds no iteration."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ParseError(f"{path}: cannot be read: {error.strerror}") from error
    log = parse_training_log(text.splitlines())
    if not log.train and not log.test:
        raise ParseError(f"{path}: no line 'Iteration N, loss = ...' in this log")
    return log


def parse_training_log(lines: Iterable[str]) -> TrainingLog:
    """Parse the lines of a log; lines that tell nothing of iterations are passed over."""
    log = TrainingLog()
    first, now = math.nan, math.nan
    iteration = -1
    rate = math.nan
    for line in lines:
        stamp = _stamp.match(line)
        if stamp:
            hours, minutes, seconds = (float(part) for part in stamp.groups())
            clock = 3600 * hours + 60 * minutes + seconds
            if math.isnan(first) or "] Solving " in line:
                first = clock
            now = clock - first if clock >= first else clock - first + DAY
        if found := _rate.search(line):
            rate = float(found[2])
            if log.train and log.train[-1].iteration == int(found[1]):
                log.train[-1].lr = rate
        elif found := _output.search(line):
            rows = log.train if found[1].lower() == "train" else log.test
            if not rows or rows[-1].iteration != iteration:
                rows.append(Row(iteration, now, rate))
            rows[-1].outputs[found[2]] = float(found[3])
        elif found := _iteration.search(line):
            iteration = int(found[1])
            if found[2] is not None:
                log.train.append(Row(iteration, now, rate, float(found[2])))
    return log
