"""A training as it goes, for people: a page in the Spark UI, and the same below a notebook's cell.

course.py   what there is to show, from the report and the ranks, as plain values
page.py     the values as one HTML file: bar, figures, plots, ranks; no script
places.py   where it is shown: the Spark UI, a port of our own, a notebook
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from minicaffe.errors import Error
from minicaffe.machine.file_system import is_far
from minicaffe.machine.whole_file import whole_file

from ..supervision.roster import Roster
from ..training_report import TrainingReport
from .course import Course
from .page import fragment, page
from .places import Place, open_notebook, open_place

EVERY = 1.0  # seconds between two pictures of the training


class LivePage:
    """Shows a training while it lasts; nothing that goes wrong here ends it.

    `link` is the page's place as the Spark UI's pages name it, "" where it lies on a port of our
    own; `url` is the whole of it. `copy` is where the last page is left, "" for nowhere.
    """

    def __init__(self, sc: Any, title: str, max_iter: int, copy: str) -> None:
        self.course = Course(title, max_iter)
        self.copy = copy
        self._place: Place = open_place(sc)
        self._notebook = open_notebook()
        self._shown = 0.0
        self._seen: tuple[TrainingReport, Roster] | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._place.url

    @property
    def link(self) -> str:
        """The same for a page of the Spark UI."""
        return self._place.link

    def look(self, report: TrainingReport, roster: Roster) -> None:
        """Called often: takes the training in, and shows it once a second."""
        self._seen = report, roster
        if time.monotonic() - self._shown >= EVERY:
            self.course.take(report, roster)
            self._show()

    def close(self, ending: str) -> None:
        """Show how it ended, leave the page beside the model."""
        if self._seen is not None:
            self.course.take(*self._seen)
        self.course.end(ending)
        self._show()
        if self.copy and self.course.train:
            with contextlib.suppress(Error, OSError), whole_file(self.copy, Error) as beside:
                Path(beside).write_text(page(self.course), encoding="utf-8")
        self._place.close()

    def _show(self) -> None:
        self._shown = time.monotonic()
        with contextlib.suppress(OSError):
            values = json.dumps(self.course.values(), allow_nan=False)
            self._place.put({"index.html": page(self.course), "training.json": values})
        if self._notebook is not None:
            self._notebook.put(fragment(self.course))


def copy_of(stem: str) -> str:
    """The name of the last page, beside a model of this stem; "" without one."""
    return f"{stem}.training.html" if is_far(stem) or os.path.isdir(os.path.dirname(stem)) else ""
