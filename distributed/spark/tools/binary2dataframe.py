"""Binary2DataFrame: pictures in a list, as a DataFrame."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from ..shipping.far_settings import carried
from .listed_pictures import Listed, anchored, read_list, read_pictures
from .tool import Tool

SCHEMA = "SampleID string not null, label int not null, data binary not null"


class Binary2DataFrame(Tool):
    """A DataFrame of pictures in a list: SampleID, label, data (the file's bytes).

    -labelFile has lines `file label id`, the files are below -imageRoot. A line that is none ends
    the tool before it begins; a file that cannot be read is left out, named and counted.
    """

    needs = ("imageRoot", "labelFile", "output")
    knows = ("outputFormat", "lmdb_partitions")

    def makeRDD(self) -> Any:
        """An RDD of (SampleID, label, data), in the list's order. Raises DataError."""
        listed = read_list(self.session, self.conf.labelFile, with_ids=True)
        rows = carried(self.sc, functools.partial(_rows, anchored(self.conf.imageRoot), self.bad))
        return self.sc.parallelize(listed, min(self.parts, len(listed))).mapPartitions(rows)

    def makeDF(self) -> Any:
        """The DataFrame. Raises DataError."""
        return self.session.createDataFrame(self.makeRDD(), SCHEMA, verifySchema=False)

    def run(self) -> None:
        """Write the DataFrame to -output, in -outputFormat."""
        self.check_frame()
        self.write_frame(self.makeDF(), self.conf.outputPath)


def _rows(root: str, bad: Any, listed: Iterable[Listed]) -> Iterator[tuple[str, int, bytes]]:
    for each, file in read_pictures(root, bad, listed):
        yield each.id, int(each.label), file
