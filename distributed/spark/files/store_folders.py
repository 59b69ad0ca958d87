"""Folders that hold a store or a model: written by Spark's own file systems, or in S3 by our tasks.

Spark writes where it has Hadoop's classes: on disks and in HDFS. For S3 it has none by default: a
task writes its part as a file of its machine, and puts it there when it is whole.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from minicaffe.errors import extra
from minicaffe.machine.file_system import FAR, files_in, remove_file, scheme_of, upload

from ..session import hadoop_place
from ..shipping.far_settings import carried

GROUP = 16 << 20  # bytes of a row group
# Neither compressed nor by dictionary: a row group has as many bytes in memory as in its file.
SETTINGS = {
    "compression": "uncompressed",
    "parquet.enable.dictionary": "false",
    "parquet.block.size": str(GROUP),
    "parquet.page.size.row.check.min": "1",  # big rows too do not make bigger groups
}
CHUNK = 1 << 20  # bytes that go to Java in one call


class Folder(Protocol):
    """Where a store is written."""

    def put_frame(self, frame: Any, data: str) -> tuple[list[str], int]:
        """Write a sorted frame's partitions into a folder; the files' names in order, and rows."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; it takes the place of one that is there."""
        ...

    def remove(self, name: str) -> None:
        """Remove something in it, with all that it holds; it need not be there."""
        ...


def open_folder(sc: Any, folder: str) -> Folder:
    """A folder by its path or URL."""
    if FAR.get(scheme_of(folder)) == "s3":
        return ObjectFolder(sc, folder)
    return HadoopFolder(sc, folder)


class HadoopFolder:
    """A folder in any file system that Spark knows."""

    def __init__(self, sc: Any, folder: str) -> None:
        self.sc = sc
        there, self.system = hadoop_place(sc, folder)
        self.there = self.system.makeQualified(there)

    def path(self, name: str) -> str:
        """The whole path of something in the folder."""
        return str(self.there.toString()) + "/" + name

    def put_frame(self, frame: Any, data: str) -> tuple[list[str], int]:
        """Write a sorted frame's partitions into a folder; the files' names in order, and rows."""
        from pyspark.sql import Observation, functions

        written = Observation()
        counted = frame.observe(written, functions.count(functions.lit(1)).alias("rows"))
        counted.write.options(**SETTINGS).parquet(self.path(data))
        parts = (name for name in self.names(data) if name.startswith("part-"))
        return sorted(parts, key=_order), int(written.get["rows"])

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


class ObjectFolder:
    """A folder in S3, without Hadoop's classes for it."""

    def __init__(self, sc: Any, folder: str) -> None:
        self.sc = sc
        self.folder = folder.rstrip("/")

    def put_frame(self, frame: Any, data: str) -> tuple[list[str], int]:
        """Write a file a partition that has rows. What failed attempts have left goes away."""
        extra("pyarrow", "parquet", "a store in S3")
        place = f"{self.folder}/{data}"
        body = carried(self.sc, functools.partial(_put_part, place))
        found = frame.mapInArrow(body, "file string, rows long").collect()
        names = sorted((row.file for row in found), key=_order)
        for each in files_in(place):
            if each.name not in names:
                remove_file(f"{place}/{each.name}")
        return names, sum(row.rows for row in found)

    def write(self, name: str, content: bytes) -> None:
        """Put an object."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            upload(file.name, posixpath.join(self.folder, name))

    def remove(self, name: str) -> None:
        """Remove the files of a folder in it."""
        for each in files_in(f"{self.folder}/{name}"):
            remove_file(f"{self.folder}/{name}/{each.name}")


def _put_part(place: str, batches: Iterator[Any]) -> Iterator[Any]:
    """A task: put its rows as one Parquet file; gives the file's name and the rows in it."""
    import pyarrow
    from pyspark import TaskContext

    task = TaskContext.get()
    assert task is not None
    name = f"part-{task.partitionId():05d}-{secrets.token_hex(4)}.parquet"  # an attempt's own
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder:
        path = Path(folder, name)
        rows = write_groups(path, batches)
        if rows:
            upload(path, f"{place}/{name}")
            yield pyarrow.RecordBatch.from_pydict({"file": [name], "rows": [rows]})


def write_groups(path: str | os.PathLike[str], batches: Iterator[Any]) -> int:
    """Write Arrow batches as a Parquet file, in row groups of some GROUP bytes; how many rows."""
    import pyarrow
    from pyarrow import parquet

    rows, writer, waiting = 0, None, []
    try:
        for batch in batches:
            if writer is None:
                writer = parquet.ParquetWriter(
                    path, batch.schema, compression="none", use_dictionary=False
                )
            step = max(1, GROUP * batch.num_rows // max(batch.nbytes, 1))
            for start in range(0, batch.num_rows, step):
                waiting.append(batch.slice(start, step))
                if sum(part.nbytes for part in waiting) >= GROUP:
                    writer.write_table(pyarrow.Table.from_batches(waiting), 1 << 30)
                    waiting = []
            rows += batch.num_rows
        if writer is not None and waiting:
            writer.write_table(pyarrow.Table.from_batches(waiting), 1 << 30)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _order(name: str) -> tuple[int, ...]:
    """Sorts part-00002-... behind part-00001-..., part-100000-... behind part-99999-..."""
    found = re.match(r"part-(\d+)-.*?(?:-c(\d+))?\.", name)
    return tuple(int(number or 0) for number in found.groups()) if found else (sys.maxsize,)
