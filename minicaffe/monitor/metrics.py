"""The metrics of a training: rows in memory, a CSV file, events for TensorBoard, and a table."""

from __future__ import annotations

import csv
import html
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, Error
from ..machine.file_system import at_hand, exists, is_far, upload
from ..machine.whole_file import whole_file

log = logging.getLogger("minicaffe.metrics")

FIRST_COLUMNS = ("phase", "iteration", "seconds")
NEXT_COLUMNS = ("loss", "learning_rate", "samples_per_second", "communication")
WIDEST_OUTPUT = 16  # elements of a net's output that get columns of their own
TABLE_ROWS = 24

Row = dict[str, Any]


class Metrics:
    """Collects rows; each has a phase ("train", "test"), an iteration, seconds, and values by name.

    `csv_path`: a file with a column a name, one line a row, complete after every row.
    `tensorboard`: a folder for an event file with the scalars "phase/name" (needs tensorboardX).
    A far file cannot grow: the CSV is put anew with each row, the event file by `close`.
    `resume_at`: go on with the rows of an existing CSV file up to this iteration; without it, what
    was there is replaced. Nothing is written before the first row. Raises Error when a file cannot
    be written.
    """

    def __init__(
        self, csv_path: str = "", tensorboard: str = "", resume_at: int | None = None
    ) -> None:
        self.rows: list[Row] = []
        self.csv_path = csv_path
        self._columns: list[str] = list(FIRST_COLUMNS)
        self._on_disk = False
        self._tensorboard = tensorboard
        self._resume_at = resume_at
        self._events: Any = None
        self._far_events: tuple[str, tempfile.TemporaryDirectory[str]] | None = None
        if csv_path and resume_at is not None and exists(csv_path):
            self._read_rows(resume_at)

    def add(self, phase: str, iteration: int, seconds: float, values: Mapping[str, float]) -> None:
        """Append a row. `seconds` counts from the start of this run."""
        row: Row = {"phase": phase, "iteration": iteration, "seconds": round(seconds, 3), **values}
        self.rows.append(row)
        if self.csv_path:
            new = [name for name in row if name not in self._columns]
            self._columns = sorted([*self._columns, *new], key=_rank_of_column)
            if new or not self._on_disk or is_far(self.csv_path):
                self._write_all()
            else:
                self._append(row)
        if self._tensorboard and self._events is None:
            self._events = _event_writer(self._events_here(), self._resume_at)
            self._tensorboard = self._tensorboard if self._events else ""
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{phase}/{name}", value, iteration)
            self._events.flush()

    def rewind(self, last: int) -> None:
        """Forget what came after iteration `last`: the training goes on from there once more."""
        self.rows = [row for row in self.rows if row["iteration"] <= last]
        self._on_disk = False  # the next row writes the file anew
        if self._events is not None:
            self.close()
            self._resume_at = last

    def close(self) -> None:
        """Close the event file, and put it where it belongs, if that is far."""
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._far_events is not None:
            (url, folder), self._far_events = self._far_events, None
            with folder:
                for each in Path(folder.name).iterdir():
                    try:
                        upload(each, f"{url}/{each.name}")
                    except DataError as error:
                        log.warning("no event file for TensorBoard: %s", error)

    def _events_here(self) -> str:
        """The folder of the event file on this machine."""
        if not is_far(self._tensorboard):
            return self._tensorboard
        folder = tempfile.TemporaryDirectory(prefix="minicaffe-")
        self._far_events = self._tensorboard, folder
        return folder.name

    def table(self) -> str:
        """The rows as text: a line an iteration, tests beside training; long ones are thinned."""
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join("  ".join(map(str.rjust, row, widths)).rstrip() for row in cells)

    def html_table(self) -> str:
        """The table for a notebook."""
        head, *lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row)
                        for row in self._cells())  # fmt: skip
        head = head.replace("td>", "th>")
        return "\n".join(["<table>", *(f"<tr>{line}</tr>" for line in (head, *lines)), "</table>"])

    def _cells(self) -> list[list[str]]:
        """The cells of the table, row by row; the first has the columns' names."""
        columns: list[str] = []
        lines: dict[int, Row] = {}
        for row in self.rows:
            line = lines.setdefault(row["iteration"], {"iteration": row["iteration"]})
            for name, value in row.items():
                if name not in FIRST_COLUMNS:
                    title = name if row["phase"] == "train" else f"{row['phase']} {name}"
                    if title not in columns:
                        columns.append(title)
                    line[title] = value
        columns = ["iteration", *sorted(columns, key=_rank_of_column)]
        chosen = _thinned([lines[iteration] for iteration in sorted(lines)], TABLE_ROWS)
        return [columns] + [[_text(line.get(name)) for name in columns] for line in chosen]

    # --- the file ----------------------------------------------------------------------------

    def _read_rows(self, last: int) -> None:
        with (
            at_hand(self.csv_path, Error) as path,
            open(path, newline="", encoding="utf-8") as file,
        ):
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ())[:3] != FIRST_COLUMNS:
                raise Error(f"{self.csv_path} is there, but it is not a file of metrics")
            self._columns = list(reader.fieldnames or ())
            for line in reader:
                row: Row = {"phase": line["phase"], "iteration": int(line["iteration"])}
                row |= {
                    name: float(value) for name, value in line.items() if value and name not in row
                }
                if row["iteration"] <= last:
                    self.rows.append(row)

    def _write_all(self) -> None:
        with (
            whole_file(self.csv_path) as beside,
            open(beside, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self.rows)
        self._on_disk = True

    def _append(self, row: Row) -> None:
        try:
            with open(self.csv_path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        except OSError as error:
            raise Error(f"{self.csv_path}: cannot be written: {error.strerror}") from error


def columns_of(values: Mapping[str, float]) -> dict[str, float]:
    """A test's values by name, without those of very long outputs (name[0], name[1] ...)."""
    lengths = Counter(name.partition("[")[0] for name in values)
    return {
        name: value
        for name, value in values.items()
        if lengths[name.partition("[")[0]] <= WIDEST_OUTPUT
    }


def _event_writer(folder: str, resume_at: int | None) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.info("no event files for TensorBoard: pip install 'minicaffe[tensorboard]'")
        return None
    purge = None if resume_at is None else resume_at + 1
    return SummaryWriter(folder, purge_step=purge, flush_secs=10)


def _rank_of_column(name: str) -> int:
    """Sorts the columns that every training has to the front; others stay as they came."""
    known = (*FIRST_COLUMNS, *NEXT_COLUMNS)
    return known.index(name) if name in known else len(known)


def _thinned(lines: list[Row], most: int) -> list[Row]:
    """At most so many of the lines, evenly, the last among them."""
    step = max(math.ceil(len(lines) / most), 1)
    return lines[::-1][::step][::-1]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
