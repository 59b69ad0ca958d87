"""Lists of files: of pictures and labels, of names; what Caffe reads line by line, word by word."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import DataError
from ..machine import file_system
from ..machine.file_system import is_far
from .datum import COLOR, GRAY, Picture, decode, resize

PIECE = 1 << 20
LONGEST = 1 << 28  # bytes of a text
LONGEST_SHOWN = 200  # characters of a line in an error


class Entry(NamedTuple):
    """One line: a picture's path, as it is written there, its label, and "file:line"."""

    path: str
    label: int
    place: str


def read_image_list(path: str | os.PathLike[str]) -> list[Entry]:
    """The entries of a list. The label stands after the last space, so that paths may have some.

    As in Caffe, a line of one word is a path, whose label is 0. Empty lines are passed over. Raises
    DataError, with the line, for one that is no entry, and for a list that cannot be read or has no
    entries.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        name, _, label = line.rstrip().rpartition(" ")
        if len(line.split()) == 1:
            name, label = line.strip(), "0"
        value = whole_number(label)
        if value is None or not name.strip():
            said = line.strip()[:LONGEST_SHOWN]
            raise DataError(f"{path}:{number}: 'path label' is expected, not '{said}'")
        entries.append(Entry(name.rstrip(), value, f"{path}:{number}"))
    if not entries:
        raise DataError(f"{path}: the list has no entries")
    return entries


def whole_number(word: str) -> int | None:
    """The whole number of 32 bits, as Caffe's are, that a word is; None where it is none."""
    found = re.fullmatch(r"([+-]?)0*(\d{1,10})", word)
    number = int(found[1] + found[2]) if found else 2**31
    return number if -(2**31) <= number < 2**31 else None


def read_words(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """The words of a text file, between any white space, each with its "file:line"."""
    for number, line in enumerate(read_lines(path), 1):
        for word in line.split():
            yield word, f"{path}:{number}"


def read_lines(path: str | os.PathLike[str], errors: str = "surrogateescape") -> list[str]:
    """The lines of a text file. Raises DataError when it cannot be read.

    Bytes that are no UTF-8 are kept, so that paths of any encoding lead to their files; `errors`
    is what `open` knows by that name.
    """
    try:
        text = _text(path).decode("utf-8", errors)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a path with a byte 0; bytes that `errors` refuses
        raise DataError(f"cannot read {path!r}: {error}") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n")


def _text(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a text file, which may be a pipe, but neither endless nor of other bytes."""
    if is_far(path):
        if file_system.file_size(os.fspath(path)) > LONGEST:
            raise DataError(f"{path}: a text of more than {LONGEST >> 20} MiB is not read")
        return _pieces(path, io.BytesIO(file_system.read_file(os.fspath(path))))
    with open(path, "rb") as file:
        return _pieces(path, file)


def _pieces(path: str | os.PathLike[str], file: BinaryIO) -> bytes:
    pieces: list[bytes] = []
    while piece := file.read(PIECE):
        pieces.append(piece)
        if b"\0" in piece:
            line = b"".join(pieces).partition(b"\0")[0].count(b"\n") + 1
            raise DataError(f"{path}:{line}: a byte 0, where lines of text are expected")
        if len(pieces) * PIECE > LONGEST:
            raise DataError(f"{path}: a text of more than {LONGEST >> 20} MiB is not read")
    return b"".join(pieces)


def read_file(path: str | os.PathLike[str], place: str) -> bytes:
    """The bytes of a file that `place` names, near or far. Raises DataError."""
    if is_far(path):
        try:
            return file_system.read_file(os.fspath(path))
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe that nobody fills, an endless device
            raise DataError(f"{place}: cannot read {path}: it is no regular file")
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{place}: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{place}: cannot read {path!r}: {error}") from error


def read_picture(path: str, place: str, *, color: bool = True) -> Picture:
    """The picture of a file that `place` names, (C, H, W) uint8: blue, green, red, or grey.

    Raises DataError, with the place and the path.
    """
    return decode_picture(read_file(path, place), path, place, color=color)


def decode_picture(file: bytes, path: str, place: str, *, color: bool = True) -> Picture:
    """The picture in the bytes of a file; see `read_picture`."""
    try:
        return decode(file, COLOR if color else GRAY)
    except DataError as error:
        raise DataError(f"{place}: {path}: {error}") from error


def resized(picture: Picture, height: int, width: int) -> Picture:
    """The picture scaled to height x width, bilinear; as it is where both are 0."""
    return resize(picture, height, width) if height and width else picture
