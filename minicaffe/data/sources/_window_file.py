"""Files of windows: the training samples of R-CNN (Girshick et al., 2014)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..image_list import LONGEST_SHOWN, read_words, whole_number


class Window(NamedTuple):
    """A box of a picture, corners included; `place` is "file:line"."""

    picture: str
    label: int
    x1: int
    y1: int
    x2: int
    y2: int
    place: str


def read_windows(param: pb.WindowDataParameter) -> tuple[list[Window], list[Window]]:
    """The background and the foreground windows of the file `source`.

    Its words, for each picture: `#`, its number from 0, path, channels, height, width, how many
    windows, and for each window: label, overlap, x1, y1, x2, y2. A window is foreground where
    overlap >= `fg_threshold`, background (label 0) where overlap < `bg_threshold`; others are not
    used. Raises DataError, with the line.
    """
    words = _Words(param.source)
    background: list[Window] = []
    foreground: list[Window] = []
    pictures = 0
    while words.left():
        if words.word("#") != "#":
            raise words.error("'#' and the number of a picture are expected")
        if words.number("the number of a picture") != pictures:
            raise words.error(f"the number {pictures} is expected: pictures count from 0")
        pictures += 1
        path = param.root_folder + words.word("a path")
        for what in ("channels", "height", "width"):
            words.number(what)
        for _ in range(words.number("how many windows")):
            label, overlap = words.number("a label"), words.real("an overlap")
            x1, y1, x2, y2 = (words.number(name) for name in ("x1", "y1", "x2", "y2"))
            if overlap >= np.float32(param.fg_threshold):
                if label <= 0:
                    raise words.error(f"label {label} of a foreground window; from 1 is expected")
                foreground.append(Window(path, label, x1, y1, x2, y2, words.place))
            elif overlap < np.float32(param.bg_threshold):
                background.append(Window(path, 0, x1, y1, x2, y2, words.place))
    for name, windows in (("foreground", foreground), ("background", background)):
        if not windows:
            raise DataError(f"{param.source}: no {name} window in {pictures} pictures")
    return background, foreground


class _Words:
    """The words of a file, one after the other, with the line of the one read last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.place = path
        self._words = read_words(path)
        self._next = next(self._words, None)

    def left(self) -> bool:
        return self._next is not None

    def word(self, what: str) -> str:
        if self._next is None:
            raise DataError(f"{self.path} ends where {what} is expected")
        word, self.place = self._next
        self._next = next(self._words, None)
        return word

    def number(self, what: str) -> int:
        word = self.word(what)
        number = whole_number(word)
        if number is None:
            said = word[:LONGEST_SHOWN]
            raise self.error(f"{what} is expected, a whole number of 32 bits, not '{said}'")
        return number

    def real(self, what: str) -> np.float32:
        word = self.word(what)
        try:
            return np.float32(word)
        except ValueError:
            raise self.error(f"{what} is expected, a number, not '{word}'") from None

    def error(self, message: str) -> DataError:
        return DataError(f"{self.place}: {message}")
