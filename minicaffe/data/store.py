"""A store: a table of samples in Parquet files, in the order of their ids, with an index.

    FOLDER/index.json               what lies where; written last, so that it tells of whole files
    FOLDER/data-1f03a2c4/part-...   the rows: the files one after the other, each by row groups

`Store(folder)` reads what `minicaffe.distributed.spark.store_writer.write_store` has written.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import DataError, extra
from ..machine.file_system import exists, local_path, open_file, read_file
from .shuffle import Groups

INDEX = "index.json"
FORMAT = 1  # of the index
FACTS = ("digest", "id", "columns", "nulls", "window")  # that it has beside the files
WINDOW = 256 << 20  # bytes of rows that an epoch shuffles at a time, and that a reader holds

Row = dict[str, Any]  # column -> value: a number, str, bytes, an array of NumPy, a dict; None


class Group(NamedTuple):
    """A row group: the file it lies in, its number there, its rows and their bytes in memory."""

    file: str
    number: int
    rows: int
    size: int


@dataclass(frozen=True)
class Index:
    """What an index says of a store."""

    digest: str  # of the source and of what was selected from it
    id: str  # the column by which the rows are sorted; "" where they stand as they came
    columns: dict[str, str]  # name -> Arrow's type
    nulls: dict[str, int]  # name -> how many rows have no value, where some have none
    window: int  # see WINDOW
    groups: tuple[Group, ...]

    def to_json(self) -> str:
        """The text of an index file."""
        files: dict[str, dict[str, list[int]]] = {}
        for group in self.groups:
            file = files.setdefault(group.file, {"rows": [], "bytes": []})
            file["rows"].append(group.rows)
            file["bytes"].append(group.size)
        head = {"format": FORMAT, "rows": sum(group.rows for group in self.groups)}
        return json.dumps(head | {k: getattr(self, k) for k in FACTS} | {"files": files}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Index:
        """Read the text of an index file. Raises ValueError, KeyError, TypeError for others."""
        read = json.loads(text)
        if read["format"] != FORMAT:
            raise ValueError(f"format {read['format']}, and {FORMAT} can be read")
        groups = tuple(
            Group(name, number, rows, size)
            for name, file in read["files"].items()
            for number, (rows, size) in enumerate(zip(file["rows"], file["bytes"], strict=True))
        )
        return cls(**{name: read[name] for name in FACTS}, groups=groups)


def find_index(folder: str) -> Index | None:
    """The index of a store; None where there is no whole store. Raises DataError."""
    path = posixpath.join(folder, INDEX)
    if not exists(path):
        return None
    content = read_file(path)
    try:
        return Index.from_json(content.decode())
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not the index of a store: {error}") from error


class Store:
    """Rows 0 to len - 1 of a store: `read(index)` gives one as a dict of its columns.

    At most the index's `window` of bytes of row groups (one group at least) is in memory: those
    that were asked for last. `groups` says how an epoch can be shuffled within that. With `columns`
    only these are read. Raises DataError for a folder without index, a column that is not there,
    and a file that is not what the index says.
    """

    def __init__(self, folder: str, columns: Sequence[str] | None = None) -> None:
        index = find_index(folder)
        if index is None:
            raise DataError(f"{folder}: there is no store here, or none that is whole: no {INDEX}")
        self._set(folder, index, columns)

    def _set(self, folder: str, index: Index, columns: Sequence[str] | None) -> None:
        self.folder = folder
        self.index = index
        self.columns = list(columns or index.columns)
        for name in self.columns:
            if name not in index.columns:
                raise DataError(
                    f"{folder} has no column '{name}' (it has: {', '.join(index.columns)})"
                )
        self.groups = Groups(
            [group.rows for group in index.groups],
            [group.size for group in index.groups],
            index.window,
        )
        self._sorted: list[int] | None = None  # the rows by their ids, where they lie otherwise
        self._held: OrderedDict[int, Any] = OrderedDict()  # group -> its rows as Arrow's table

    @classmethod
    def of_parquet(
        cls,
        path: str,
        columns: Sequence[str] | None = None,
        *,
        id: str = "id",
        window: int = WINDOW,
    ) -> Store:
        """The rows of a Parquet file, or of all those in a folder, without index.

        They are sorted by the column `id`, if it is there and all fit into the window; else they
        stand as they lie in the files.
        """
        paths = sorted(_parquet_files(local_path(path)))
        if not paths:
            raise DataError(f"{path}: there are no Parquet files here")
        store = cls.__new__(cls)
        folder = local_path(path) if paths[0] != local_path(path) else os.path.dirname(paths[0])
        names = [os.path.relpath(each, folder) for each in paths]
        index = index_of(folder, names, "", id, window)
        if columns and id in index.columns and id not in columns:
            columns = [*columns, id]
        store._set(folder, index, columns)
        if id in index.columns and store.groups.fit:
            parts = (store._load(group, [id]).column(0).to_pylist() for group in index.groups)
            keys = [(key is not None, key) for part in parts for key in part]
            store._sorted = sorted(range(len(keys)), key=keys.__getitem__)
        return store

    def __len__(self) -> int:
        return self.groups.starts[-1]

    def read(self, index: int) -> Row:
        """Row `index`, 0 <= index < len. Arrays come as NumPy's. Raises DataError."""
        if self._sorted is not None:
            index = self._sorted[index]
        number, row = self.groups.find(index)
        table = self._table(number)
        return {name: _value(table.column(at)[row]) for at, name in enumerate(table.column_names)}

    def id(self, row: Row, index: int) -> str:
        """The name of row `index`: its id, or where it has none its number, of eight digits."""
        given = row.get(self.index.id)
        if given is None:
            return f"{index:08d}"
        return given.decode(errors="replace") if isinstance(given, bytes) else str(given)

    def close(self) -> None:
        """Let go of what is in memory; files are open only while they are read."""
        self._held.clear()

    def _table(self, number: int) -> Any:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        sizes = self.groups.sizes
        while self._held and sum(sizes[n] for n in (*self._held, number)) > self.groups.limit:
            self._held.popitem(last=False)
        self._held[number] = table = self._load(self.index.groups[number], self.columns)
        return table

    def _load(self, group: Group, columns: list[str]) -> Any:
        place = posixpath.join(self.folder, group.file)
        with _parquet(place) as parquet:
            if group.number >= parquet.num_row_groups:
                raise DataError(f"{place} has changed: it has no row group {group.number}")
            table = parquet.read_row_group(group.number, columns=columns, use_threads=False)
        if table.num_rows != group.rows or set(table.column_names) != set(columns):
            raise DataError(f"{place} has changed: its rows or columns are others than before")
        return table


def index_of(folder: str, names: Sequence[str], digest: str, id: str, window: int) -> Index:
    """The index of Parquet files in a folder, from their footers. Raises DataError."""
    groups: list[Group] = []
    nulls: dict[str, int] = {}
    columns: dict[str, str] = {}
    for name in names:
        with _parquet(posixpath.join(folder, name)) as parquet:
            found = {field.name: str(field.type) for field in parquet.schema_arrow}
            if columns and found != columns:
                raise DataError(f"{folder}: {name} has other columns than {names[0]}")
            columns = found
            for number in range(parquet.num_row_groups):
                part = parquet.metadata.row_group(number)
                groups.append(Group(name, number, part.num_rows, part.total_byte_size))
                for column in range(part.num_columns):
                    chunk = part.column(column)
                    if chunk.path_in_schema in columns and chunk.statistics is not None:
                        missing = chunk.statistics.null_count or 0
                        nulls[chunk.path_in_schema] = nulls.get(chunk.path_in_schema, 0) + missing
    nulls = {name: count for name, count in nulls.items() if count}
    return Index(digest, id, columns, nulls, window, tuple(groups))


@contextlib.contextmanager
def _parquet(path: str) -> Iterator[Any]:
    """A Parquet file, open for the length of a `with` block. Raises DataError, with its path."""
    arrow = extra("pyarrow", "parquet", "a store")
    parquet = extra("pyarrow.parquet", "parquet", "a store")
    try:
        with open_file(path) as file:
            yield parquet.ParquetFile(file)
    except (OSError, arrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"cannot read {path} as Parquet: {reason}") from error


def _parquet_files(path: str) -> Iterator[str]:
    """The files that Spark would read: names that begin with _ or . are none."""
    if not os.path.isdir(path):
        if os.path.exists(path):
            yield path
        return
    for entry in os.scandir(path):
        if not entry.name.startswith(("_", ".")):
            yield from _parquet_files(entry.path)


def rows_of_struct(array: Any) -> Iterator[Row]:
    """The rows of one of Arrow's arrays of structs."""
    names, columns = [field.name for field in array.type], array.flatten()
    for row in range(len(array)):
        yield {name: _value(column[row]) for name, column in zip(names, columns, strict=True)}


def _value(scalar: Any) -> Any:
    """A value of Arrow's as one of Python's or, lists, of NumPy's; in structs too."""
    parts: Any = scalar
    if isinstance(scalar, Mapping):
        return {name: _value(part) for name, part in parts.items()} if parts.is_valid else None
    values = getattr(scalar, "values", None)
    if values is None or callable(values):  # no list, or null; a struct has a method
        return scalar.as_py()
    return values.to_numpy(zero_copy_only=False)
