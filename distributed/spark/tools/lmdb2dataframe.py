"""LMDB2DataFrame: a database of pictures, as a DataFrame."""

from __future__ import annotations

from typing import Any

from .lmdb_records import lmdb_records
from .tool import Tool

SCHEMA = (
    "id string, label string not null, channels int, height int, width int, encoded boolean,"
    " data binary not null"
)


class LMDB2DataFrame(Tool):
    """A DataFrame of an LMDB: id, label, channels, height, width, encoded, data.

    -imageRoot is the LMDB's folder. A row a record, in key order; the id is the key. The data of a
    picture that is not encoded are (height, width, channels). A record that is no picture of bytes
    is left out, named and counted.
    """

    needs = ("imageRoot", "output")
    knows = ("outputFormat", "lmdb_partitions")

    def makeDF(self) -> Any:
        """The DataFrame. Raises DataError for what is no LMDB."""
        rows = lmdb_records(self.sc, self.conf.imageRoot, self.parts, self.bad)
        return self.session.createDataFrame(rows, SCHEMA, verifySchema=False)

    def run(self) -> None:
        """Write the DataFrame to -output, in -outputFormat."""
        self.check_frame()
        self.write_frame(self.makeDF(), self.conf.outputPath)
