"""Binary2Sequence: pictures in a list, as a SequenceFile."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from minicaffe.data.sample_key import SampleKey, write_sample_key

from ..shipping.far_settings import carried
from .listed_pictures import Listed, anchored, read_list, read_pictures
from .tool import Tool


class Binary2Sequence(Tool):
    """A SequenceFile of pictures in a list: (file, label) as keys, the files' bytes as values.

    -labelFile has lines `file label`, the files are below -imageRoot. A line that is none ends the
    tool before it begins; a file that cannot be read is left out, named and counted. Keys are
    Java's, a scala.Tuple2 of two texts.
    """

    needs = ("imageRoot", "labelFile", "output")
    knows = ("lmdb_partitions",)

    def makeRDD(self) -> Any:
        """An RDD of (key, value), both bytes, in the list's order. Raises DataError."""
        listed = read_list(self.session, self.conf.labelFile, with_ids=False)
        rows = carried(self.sc, functools.partial(_rows, anchored(self.conf.imageRoot), self.bad))
        return self.sc.parallelize(listed, min(self.parts, len(listed))).mapPartitions(rows)

    def run(self) -> None:
        """Write the SequenceFile, a folder of parts, to -output."""
        self.write_sequence(self.makeRDD())


def _rows(root: str, bad: Any, listed: Iterable[Listed]) -> Iterator[tuple[bytearray, bytearray]]:
    for each, file in read_pictures(root, bad, listed):
        yield bytearray(write_sample_key(SampleKey(each.file, each.label))), bytearray(file)
