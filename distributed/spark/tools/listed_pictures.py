"""Lists of pictures, read and checked on the driver, and the pictures, read by tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from minicaffe.data.image_list import read_file, whole_number
from minicaffe.errors import DataError, shown
from minicaffe.machine.file_system import is_far, local_path

from ..session import hadoop_place
from ..spark_job import reason_of

LONGEST_SHOWN = 200  # characters of a line in an error


class Listed(NamedTuple):
    """A line of a list: a picture's path below the root, its label and id as written, the place."""

    file: str
    label: str
    id: str
    place: str


def read_text(session: Any, path: str, option: str) -> str:
    """A text of any file system that Spark knows. Raises DataError, which begins with `option`."""
    try:
        place = str(hadoop_place(session.sparkContext, path)[0])
        rows = session.read.text(place, wholetext=True).collect()
    except Exception as error:
        raise DataError(f"{option} {shown(path)}: {reason_of(error)}") from None
    if len(rows) != 1:
        raise DataError(f"{option} {shown(path)}: one file is expected, there are {len(rows)}")
    return str(rows[0].value)


def read_list(session: Any, path: str, *, with_ids: bool) -> list[Listed]:
    """The lines `file label` of a -labelFile, or with ids `file label id`; empty ones are none.

    A file's name may have blanks. Without ids it is the id too. Raises DataError, with the line,
    for one that is neither, and for a list without lines.
    """
    form, words = ("file label id", 2) if with_ids else ("file label", 1)
    found = []
    for number, line in enumerate(read_text(session, path, "-labelFile").splitlines(), 1):
        if not line.strip():
            continue
        place = f"{shown(path)}:{number}"
        file, *others = line.strip().rsplit(maxsplit=words)
        if len(others) != words or whole_number(others[0]) is None:
            said = line.strip()[:LONGEST_SHOWN]
            raise DataError(f"{place}: '{form}' with a whole number as label, not '{said}'")
        found.append(Listed(file, others[0], others[-1] if with_ids else file, place))
    if not found:
        raise DataError(f"-labelFile {shown(path)}: the list has no lines")
    return found


def anchored(root: str) -> str:
    """A folder as tasks find it: a relative one begins in the driver's working directory."""
    return root if is_far(root) else os.path.abspath(local_path(root))


def read_pictures(root: str, bad: Any, listed: Iterable[Listed]) -> Iterator[tuple[Listed, bytes]]:
    """The files of pictures below a root; what cannot be read, or is empty, is added to `bad`."""
    for each in listed:
        try:
            yield each, picture_file(root, each.file, each.place)
        except DataError as error:
            bad.add({each: str(error)})


def picture_file(root: str, file: str, place: str) -> bytes:
    """The bytes of a picture's file below an anchored root. DataError, also for one of 0 bytes."""
    path = f"{root.rstrip('/')}/{file}" if is_far(root) else os.path.join(root, file)
    content = read_file(path, place)
    if not content:
        raise DataError(f"{place}: {path}: a picture of 0 bytes")
    return content
