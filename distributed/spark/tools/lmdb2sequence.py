"""LMDB2Sequence: a database of pictures, as a SequenceFile."""

from __future__ import annotations

from typing import Any

from minicaffe.data.sample_key import SampleKey, write_sample_key

from .lmdb_records import LmdbRecord, lmdb_records
from .tool import Tool


class LMDB2Sequence(Tool):
    """A SequenceFile of an LMDB: (id, label, channels, height, width, encoded), the data.

    -imageRoot is the LMDB's folder. A record a record, in key order; the id is the key. The data of
    a picture that is not encoded are (height, width, channels). A record that is no picture of
    bytes is left out, named and counted. Keys are Java's, a scala.Tuple6; of an encoded picture
    without a size a scala.Tuple2.
    """

    needs = ("imageRoot", "output")
    knows = ("lmdb_partitions",)

    def makeRDD(self) -> Any:
        """An RDD of (key, value), both bytes. Raises DataError for what is no LMDB."""
        return lmdb_records(self.sc, self.conf.imageRoot, self.parts, self.bad).map(_row)

    def run(self) -> None:
        """Write the SequenceFile, a folder of parts, to -output."""
        self.write_sequence(self.makeRDD())


def _row(record: LmdbRecord) -> tuple[bytearray, bytearray]:
    return bytearray(write_sample_key(SampleKey(*record[:6]))), bytearray(record.data)
