"""Sources that are DataFrames: how Spark reads one, and the rows that the ranks read."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import DataError
from ..store import Row, Store, find_index

_NAME = re.compile(r"\s*(`[^`]+`|\w+)\s*(?:(?:as\s+)?(`[^`]+`|\w+)\s*)?", re.IGNORECASE)


def frame_of(spark: Any, path: str, form: str, select: Sequence[str]) -> Any:
    """What Spark reads from `path` in a format, with the expressions of `select` as columns."""
    frame = spark.read.format(form).load(path)
    return frame.selectExpr(*select) if select else frame


def check_columns(there: Iterable[str], wanted: Iterable[str], place: str) -> None:
    """Raise DataError for the first wanted column that is not there."""
    there = list(there)
    for name in wanted:
        if name not in there:
            raise DataError(f"{place} has no column '{name}' (it has: {', '.join(there)})")


class FrameRows:
    """The rows of a store, or of a Parquet folder where no Spark job has written one.

    `select` has been applied to a store. To a Parquet folder it can be where it does no more than
    name columns, `sampleId as id`. The rows of a folder are sorted by their column `id`, if they
    fit into a window (see Store). Raises DataError.
    """

    def __init__(self, path: str, form: str, select: Sequence[str], place: str) -> None:
        self.place = place
        self._reading = threading.Lock()
        self._names: dict[str, str] | None = None  # name -> column
        if find_index(path) is not None:
            self.store = Store(path)
        elif form.lower() != "parquet":
            raise DataError(
                f"{place}: dataframe_format {form} is read by Spark, in a Spark job; without it"
                " there is parquet"
            )
        else:
            names = dict(self._renamed(each) for each in select)
            self.store = Store.of_parquet(path, list(names.values()), id=names.get("id", "id"))
            self._names = names or None
        self.groups = self.store.groups
        self.columns = list(self._names or self.store.columns)

    def _renamed(self, expression: str) -> tuple[str, str]:
        found = _NAME.fullmatch(expression)
        if not found:
            raise DataError(
                f"{self.place}: dataframe_column_select '{expression}' is computed by Spark, in a"
                " Spark job; without it columns can only be named: 'sampleId as id'"
            )
        column, name = found[1].strip("`"), (found[2] or found[1]).strip("`")
        return name, column

    def __len__(self) -> int:
        return len(self.store)

    def read(self, index: int) -> tuple[str, Row]:
        """The id of row `index`, and the row. Raises DataError."""
        with self._reading:
            row = self.store.read(index)
        name = self.store.id(row, index)
        if self._names is not None:
            row = {name: row[column] for name, column in self._names.items()}
        return name, row

    def close(self) -> None:
        """Let go of the rows in memory."""
        self.store.close()
