"""Windows: parts cut out of pictures and warped, and the order in which they are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..datum import Picture, resize
from ..draws import StreamDraws
from ..image_list import decode_picture, read_file
from ..source import DataSource, Order, Place, Sample
from ..transformer import read_mean
from ._window_file import Window, read_windows


class Cut(NamedTuple):
    """A part of a picture, and where it goes in a crop: rows, columns, height and width."""

    x1: int
    y1: int
    x2: int
    y2: int
    height: int
    width: int
    top: int
    left: int
    left_mirrored: int


def cut(window: Window, height: int, width: int, size: int, pad: int, square: bool) -> Cut:
    """Which part of a picture of height x width fills which part of a crop of size x size.

    With `pad` or `square` the window grows: to its longer side, and so that it covers all but
    `pad` pixels at each border of the crop. What then lies outside the picture stays empty.
    Caffe's arithmetic: float32, halves rounded away from zero. Raises DataError for a window
    without a pixel in the picture.
    """
    x1, y1, x2, y2 = window.x1, window.y1, window.x2, window.y2
    if not pad and not square:
        if x1 < 0 or y1 < 0 or x2 >= width or y2 >= height or x1 > x2 or y1 > y2:
            raise _outside(window, height, width)
        return Cut(x1, y1, x2, y2, size, size, 0, 0, 0)
    grow = np.float32(size) / np.float32(size - 2 * pad)
    half_y, half_x = np.float32((y2 - y1 + 1) / 2), np.float32((x2 - x1 + 1) / 2)
    centre_y, centre_x = np.float32(y1) + half_y, np.float32(x1) + half_x
    if square:
        half_y = half_x = max(half_y, half_x)
    x1, x2 = _round(centre_x - half_x * grow), _round(centre_x + half_x * grow)
    y1, y2 = _round(centre_y - half_y * grow), _round(centre_y + half_y * grow)
    scale_y = np.float32(size) / np.float32(y2 - y1 + 1)
    scale_x = np.float32(size) / np.float32(x2 - x1 + 1)
    beyond_left, beyond_right = max(0, -x1), max(0, x2 - width + 1)
    beyond_top, beyond_bottom = max(0, -y1), max(0, y2 - height + 1)
    x1, x2, y1, y2 = x1 + beyond_left, x2 - beyond_right, y1 + beyond_top, y2 - beyond_bottom
    if x1 > x2 or y1 > y2:
        raise _outside(window, height, width)
    top, left = _round(beyond_top * scale_y), _round(beyond_left * scale_x)
    return Cut(
        x1, y1, x2, y2,
        _round((y2 - y1 + 1) * scale_y), _round((x2 - x1 + 1) * scale_x),
        top, left, _round(beyond_right * scale_x),
    )  # fmt: skip


def _outside(window: Window, height: int, width: int) -> DataError:
    return DataError(
        f"{window.place}: window x {window.x1} to {window.x2}, y {window.y1} to {window.y2}"
        f" is no part of {window.picture}, {height} x {width} (height x width)"
    )


def _round(value: np.float32) -> int:
    """The nearest whole number; halves away from zero, as C rounds."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))


class Windows(DataSource):
    """Every window cut out, warped, scaled, once as it is (2 i) and once mirrored (2 i + 1).

    Window i is the i-th of background and foreground windows, in this order. A sample has the
    crop (channels, size, size) float32 and the label.
    """

    by_name = False  # a WindowData layer opens it

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self.wanted = param.window_data_param
        self.size: int = param.transform_param.crop_size
        self.background, self.foreground = read_windows(self.wanted)
        self.windows = self.background + self.foreground
        self.mean: NDArray[np.float32] | None = None
        self.cache: dict[str, bytes] = {}
        transform = param.transform_param
        # Upgrading a net of Caffe's first versions moves the scale (and Caffe then forgets it).
        self.scale: float = (self.wanted if self.wanted.HasField("scale") else transform).scale
        if transform.mean_file:
            self.mean = self._middle(read_mean(transform.mean_file), transform.mean_file)
        elif transform.mean_value:
            self.mean = np.array(transform.mean_value, np.float32).reshape(-1, 1, 1)

    def _middle(self, mean: NDArray[np.float32], path: str) -> NDArray[np.float32]:
        """The part of the mean that lies under a crop; its offset is that of the width (Caffe)."""
        start = (mean.shape[2] - self.size) // 2
        middle = mean[:, max(start, 0) :, max(start, 0) :][:, : self.size, : self.size]
        if middle.shape[1:] != (self.size, self.size):
            raise DataError(f"mean_file {path} is {mean.shape}, smaller than crop_size {self.size}")
        return middle

    def __len__(self) -> int:
        return 2 * len(self.windows)

    def read(self, index: int) -> Sample:
        """Crop and label. Raises DataError, with file and line of the window."""
        window, mirrored = self.windows[index // 2], index % 2 == 1
        picture = self._picture(window)
        square = self.wanted.crop_mode == "square"
        _, height, width = picture.shape
        part = cut(window, height, width, self.size, self.wanted.context_pad, square)
        left = part.left_mirrored if mirrored else part.left
        # Rounding must not carry the part over the border of the crop.
        height, width = min(part.height, self.size - part.top), min(part.width, self.size - left)
        if height < 1 or width < 1:
            raise DataError(f"{window.place}: less than a pixel of the window is in the picture")
        box = picture[:, part.y1 : part.y2 + 1, part.x1 : part.x2 + 1]
        warped = resize(box, height, width)
        area = (slice(None), slice(part.top, part.top + height), slice(left, left + width))
        crop = np.zeros((len(picture), self.size, self.size), np.float32)
        crop[area] = warped[:, :, ::-1] if mirrored else warped
        self._normalise(crop, area)
        name = f"{window.place}" + (" mirrored" if mirrored else "")
        return Sample(name, (crop, np.array(window.label, np.float32)))

    def _picture(self, window: Window) -> Picture:
        file = self.cache.get(window.picture)
        if file is None:
            file = read_file(window.picture, window.place)
            if self.wanted.cache_images:
                self.cache[window.picture] = file
        return decode_picture(file, window.picture, window.place)

    def _normalise(self, crop: NDArray[np.float32], area: tuple[slice, slice, slice]) -> None:
        """y = (x - mean) * scale, where there is a part of the picture; elsewhere 0."""
        if self.mean is not None:
            if len(self.mean) not in (1, len(crop)):
                raise DataError(f"a mean of {len(self.mean)} channels, pictures have {len(crop)}")
            crop[area] -= self.mean[area] if self.mean.shape[1] > 1 else self.mean
        crop *= np.float32(self.scale)

    def close(self) -> None:
        """Forget the files that were kept."""
        self.cache.clear()


@dataclass(frozen=True)
class WindowOrder(Order):
    """Batches drawn at random: first background windows, then int(batch * fg_fraction) others.

    Each window takes one draw, modulo the number of windows of its kind, and with `mirror` a
    second one, whose lowest bit decides. `size` is twice the number of windows.
    """

    background: int = 0
    fg_fraction: float = 0.0
    mirror: bool = False
    stream: StreamDraws | None = None

    def places(self, k: int) -> list[Place]:
        """Twice the windows' numbers, plus one for those to be mirrored."""
        assert self.stream is not None
        foreground = self.size // 2 - self.background
        first = self.batch - int(np.float32(self.batch) * np.float32(self.fg_fraction))
        draws = self.stream(k, [Place(0, 0)] * self.batch, 1 + self.mirror).tolist()
        places = []
        for i, draw in enumerate(draws):
            number = draw[0] % self.background
            if i >= first:
                number = self.background + draw[0] % foreground
            places.append(Place(0, 2 * number + (draw[1] % 2 if self.mirror else 0)))
        return places
