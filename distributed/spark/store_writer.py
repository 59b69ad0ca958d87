"""Writes a DataFrame into a store: once, by Spark, sorted by id; see minicaffe/data/store.py."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Sequence
from typing import Any

from minicaffe.data.store import INDEX, WINDOW, Index, find_index, index_of
from minicaffe.errors import ClusterError

from .session import context_of, hadoop_place
from .slots import screen
from .spark_job import run_job

GROUP = 16 << 20  # bytes of a row group
# Neither compressed nor by dictionary: a row group has as many bytes in memory as in its file.
SETTINGS = {
    "compression": "uncompressed",
    "parquet.enable.dictionary": "false",
    "parquet.block.size": str(GROUP),
    "parquet.page.size.row.check.min": "1",  # big rows too do not make bigger groups
}
CHUNK = 1 << 20  # bytes that go to Java in one call
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
    any file system that Spark knows. Nothing is collected at the driver but the files' footers.
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
            HadoopFolder(sc, folder).remove(name)
    missing = "".join(f", {n} without {name}" for name, n in index.nulls.items() if name != id)
    _say(f"store: {folder} is written, {_count(index)}{missing}")
    return folder


def _write(frame: Any, folder: str, id: str, digest: str, window: int) -> Index:
    from pyspark.sql import Observation, functions

    place = HadoopFolder(frame.sparkSession.sparkContext, folder)
    data = f"data-{secrets.token_hex(4)}"
    # By one sort all is said: big partitions are split, small ones joined, and equal ids in order.
    ordered = frame.withColumn(ORDER, functions.monotonically_increasing_id())
    ordered = ordered.orderBy(*([_column(id)] if id else []), ORDER).drop(ORDER)
    written = Observation()
    counted = ordered.observe(written, functions.count(functions.lit(1)).alias("rows"))
    try:
        counted.write.options(**SETTINGS).parquet(place.path(data))
        parts = sorted((name for name in place.names(data) if name.startswith("part-")), key=_order)
        index = index_of(folder, [f"{data}/{name}" for name in parts], digest, id, window)
        found, rows = sum(group.rows for group in index.groups), written.get["rows"]
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


def _order(name: str) -> tuple[int, ...]:
    """Sorts part-00002-... behind part-00001-..., part-100000-... behind part-99999-..."""
    found = re.match(r"part-(\d+)-.*?(?:-c(\d+))?\.", name)
    return tuple(int(number or 0) for number in found.groups()) if found else (sys.maxsize,)


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


class HadoopFolder:
    """A folder in any file system that Spark knows."""

    def __init__(self, sc: Any, folder: str) -> None:
        self.sc = sc
        there, self.system = hadoop_place(sc, folder)
        self.there = self.system.makeQualified(there)

    def path(self, name: str) -> str:
        """The whole path of something in the folder."""
        return str(self.there.toString()) + "/" + name

    def names(self, below: str) -> list[str]:
        """What lies in a folder of it; nothing where there is no such folder."""
        place = hadoop_place(self.sc, self.path(below))[0]
        if not self.system.exists(place):
            return []
        return [str(status.getPath().getName()) for status in self.system.listStatus(place)]

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        stream = self.system.open(hadoop_place(self.sc, self.path(name))[0])
        try:
            return bytes(self.sc._jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def remove(self, name: str) -> None:
        """Remove something in it, with all that it holds; it need not be there."""
        self.system.delete(hadoop_place(self.sc, self.path(name))[0], True)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: beside its place, then into it, where it replaces what was there."""
        beside = hadoop_place(self.sc, self.path(f"{name}.{secrets.token_hex(4)}"))[0]
        stream = self.system.create(beside, True)
        try:
            for first in range(0, len(content), CHUNK):
                stream.write(content[first : first + CHUNK])
        finally:
            stream.close()
        options = self.sc._jvm.org.apache.hadoop.fs.Options
        overwrite = self.sc._gateway.new_array(options.Rename, 1)
        overwrite[0] = options.Rename.OVERWRITE
        context = self.sc._jvm.org.apache.hadoop.fs.FileContext
        files = context.getFileContext(self.there.toUri(), self.sc._jsc.hadoopConfiguration())
        files.rename(beside, hadoop_place(self.sc, self.path(name))[0], overwrite)


def _count(index: Index) -> str:
    return f"{sum(group.rows for group in index.groups)} rows in {len(index.groups)} row groups"


def _say(text: str) -> None:
    with screen() as stream:
        print(text, file=stream)
