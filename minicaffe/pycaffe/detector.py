"""Detector: the scores of windows of pictures, as pycaffe's (R-CNN, Girshick et al., 2014)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, NetError
from ..proto import minicaffe_pb2 as pb
from .classifier import PictureNet
from .io import Floats, load_image, resize_image

Array = NDArray[Any]
Box = Sequence[int] | Array  # ymin, xmin, ymax, xmax


class Detection(TypedDict):
    """A window, the net's scores of it, and the file it was cut from."""

    window: Box
    prediction: Floats
    filename: str | os.PathLike[str]


class Detector(PictureNet):
    """`Detector("deploy.prototxt", "net.caffemodel").detect_windows([("cat.jpg", [box])])`.

    `context_pad`: how many pixels of the net's input around a window show its surroundings; what
    lies outside the picture gets the mean.
    """

    def __init__(
        self,
        model_file: str | pb.NetParameter,
        pretrained_file: str | None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context is cut out around windows, 0 or None for none."""
        _, channels, height, width = self.blobs[self.input_name].shape
        self.crop_dims = (height, width, channels)
        self.context_pad = int(context_pad or 0)
        if self.context_pad and (height != width or 2 * self.context_pad >= height):
            raise NetError(
                f"context_pad {self.context_pad} needs a square input of more than twice its size,"
                f" not {height} x {width}"
            )
        # The mean in a picture's own form: what `preprocess` turns into 0.
        zero = np.zeros((channels, height, width), np.float32)
        self.crop_mean: Floats = self.transformer.deprocess(self.input_name, zero)

    def detect_windows(
        self, images_windows: Iterable[tuple[str | os.PathLike[str], Iterable[Box]]]
    ) -> list[Detection]:
        """The scores of windows (ymin, xmin, ymax, xmax) of picture files, one after the other."""
        found: list[tuple[str | os.PathLike[str], Box]] = []
        crops: list[Array] = []
        for filename, windows in images_windows:
            image = load_image(filename, color=self.crop_dims[2] != 1)
            for window in windows:
                found.append((filename, window))
                crops.append(self.crop(image, window))
        if not crops:
            return []
        return [
            {"window": window, "prediction": scores, "filename": filename}
            for (filename, window), scores in zip(found, self.scores_of(crops), strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[Detection]:
        """Not possible: windows came from a MATLAB program that pycaffe called."""
        raise NetError(
            "detect_selective_search calls the MATLAB program selective_search_ijcv_with_python,"
            " which is not there: find windows by other means and give them to detect_windows"
        )

    def crop(self, im: Array, window: Box) -> Array:
        """A window of a picture (H, W, K); with context, warped to the net's input size.

        Raises DataError for a window of which nothing lies in the picture.
        """
        top, left, bottom, right = (int(edge) for edge in window)
        height, width = im.shape[:2]
        if not self.context_pad:
            box = im[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if box.size == 0:
                raise DataError(f"no part of the {height} x {width} picture in window {window}")
            return box
        size = self.crop_dims[0]
        rows = _Span(top, bottom, height, size, self.context_pad)
        columns = _Span(left, right, width, size, self.context_pad)
        if rows.length < 1 or columns.length < 1:
            raise DataError(f"no part of the {height} x {width} picture in window {window}")
        box = im[rows.first : rows.last, columns.first : columns.last]
        crop = self.crop_mean.copy()
        crop[rows.inside, columns.inside] = resize_image(box, (rows.length, columns.length))
        return crop


class _Span:
    """One axis of a window with context: the pixels `first` to `last` of the picture fill the
    `length` pixels `inside` the crop.
    """

    def __init__(self, low: int, high: int, extent: int, size: int, pad: int) -> None:
        half = (high - low + 1) / 2
        grown = half * size / (size - 2 * pad)
        start, end = float(np.round(low + half - grown)), float(np.round(low + half + grown))
        scale = size / (end - start + 1)
        before = round(max(0.0, -start) * scale)
        self.first, self.last = (int(np.clip(edge, 0, extent)) for edge in (start, end))
        # Rounding must not carry the part over the border of the crop.
        wanted = round((self.last - self.first + 1) * scale) if self.last > self.first else 0
        self.length = min(wanted, size - before)
        self.inside = slice(before, before + self.length)
