"""Writes a DataFrame into a store: once, by Spark, sorted by id; see minicaffe/data/store.py."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

from minicaffe.data.store import INDEX, WINDOW, Index, find_index, index_of
from minicaffe.errors import ClusterError

from .files.store_folders import open_folder
from .session import context_of, hadoop_place
from .slots import screen
from .spark_job import run_job

ORDER = "minicaffe order"  # a column: where a row stands in the frame


def write_store(
    df: Any,
    folder: str,
    *,
    columns: Sequence[str] = (),
    id: str = "id",
    source_digest: str = "",
    window: int = WINDOW,
    debug: bool = False,
) -> str:
    """Write these columns of a DataFrame (default: all), and its ids, into a store; its folder.

    The rows are sorted by the column `id`, where there is one; those of one id, and those without,
    keep the order of the frame, and all of them stay. Ids that are null come first. A store of the
    same `source_digest`, columns and window that is there already is used as it is; without a
    digest it is always written. What is there is replaced when the new one is whole. `folder` is in
    any file system that Spark knows, or in S3. The driver reads no more than the files' footers.
    Raises ClusterError, in one line.
    """
    sc = context_of(df.sparkSession)
    names = [*dict.fromkeys(columns or df.columns)]
    unknown = [name for name in names if name not in df.columns]
    if unknown:
        raise ClusterError(
            f"the data have no column '{unknown[0]}' (they have: {', '.join(df.columns)})"
        )
    if id in df.columns and id not in names:
        names.append(id)
    frame = df.select(*(_column(name) for name in names))
    digest = digest_of(source_digest, frame.schema.json(), id, window) if source_digest else ""
    before = find_index(folder)
    if before is not None and digest and before.digest == digest:
        _say(f"store: {folder} is used as it is, {_count(before)}")
        return folder
    work = functools.partial(_write, frame, folder, id if id in names else "", digest, window)
    index = run_job(sc, "minicaffe store", f"minicaffe: write the store {folder}", work, debug)
    if before is not None:
        for name in {group.file.partition("/")[0] for group in before.groups}:
            open_folder(sc, folder).remove(name)
    missing = "".join(f", {n} without {name}" for name, n in index.nulls.items() if name != id)
    _say(f"store: {folder} is written, {_count(index)}{missing}")
    return folder


def _write(frame: Any, folder: str, id: str, digest: str, window: int) -> Index:
    from pyspark.sql import functions

    place = open_folder(frame.sparkSession.sparkContext, folder)
    data = f"data-{secrets.token_hex(4)}"
    # By one sort all is said: big partitions are split, small ones joined, and equal ids in order.
    ordered = frame.withColumn(ORDER, functions.monotonically_increasing_id())
    ordered = ordered.orderBy(*([_column(id)] if id else []), ORDER).drop(ORDER)
    try:
        names, rows = place.put_frame(ordered, data)
        index = index_of(folder, [f"{data}/{name}" for name in names], digest, id, window)
        found = sum(group.rows for group in index.groups)
        if found != rows:
            raise ClusterError(
                f"{folder}: {rows} rows were written, and {found} are there: the store must lie in"
                " a folder that all machines share (-store FOLDER)"
            )
        place.write(INDEX, index.to_json().encode())
    except BaseException:
        with contextlib.suppress(Exception):
            place.remove(data)
        raise
    return index


def _column(name: str) -> Any:
    from pyspark.sql import functions

    return functions.col("`" + name.replace("`", "``") + "`")


def digest_of(*facts: object) -> str:
    """A digest of numbers and texts: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def digest_of_path(sc: Any, path: str, *words: str) -> str:
    """A digest of the files that a path leads to, of their sizes and times, and of words.

    The path may have a pattern of Hadoop in its parts. "" where it leads to no files: what Spark
    reads there may be another tomorrow.
    """
    there, system = hadoop_place(sc, path)
    files = []
    for status in system.globStatus(there) or ():
        found = system.listFiles(status.getPath(), True)
        while found.hasNext():
            file = found.next()
            name = str(file.getPath().toString())
            files.append([name, file.getLen(), file.getModificationTime()])
    return digest_of(sorted(files), *words) if files else ""


def _count(index: Index) -> str:
    return f"{sum(group.rows for group in index.groups)} rows in {len(index.groups)} row groups"


def _say(text: str) -> None:
    with screen() as stream:
        print(text, file=stream)
