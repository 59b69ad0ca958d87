"""What a layer of filters has learnt, and what it makes of the first sample, as small pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import extra
from ..net.node import Node
from .facts import Picture

MOST = 64  # tiles of a picture
WIDEST = 48  # pixels of a tile: larger maps are shown with pixels left out
Pixels = NDArray[np.float32]


def pictures(node: Node, sample: Pixels | None) -> Iterator[Picture]:
    """The filters of a layer with windows, and the maps of a sample (C, H, W).

    Raises MissingExtra without matplotlib.
    """
    if not (node.kind.multiplies and node.kind.positions in ("windows", "spread")):
        return
    weights = np.asarray(node.blobs[0].data.read("cpu"))
    if weights.ndim == 4 and weights.shape[2] * weights.shape[3] > 1:
        yield Picture(node.name, f"filters of {node.name}{_of(weights)}", _png(_filters(weights)))
    if sample is not None and sample.shape[1] * sample.shape[2] > 1:
        title = f"{node.top_names[0]} of the first sample{_of(sample)}"
        yield Picture(node.name, title, _png(_tiles(sample)))


def _of(items: Pixels) -> str:
    return f", {MOST} of {len(items)}" if len(items) > MOST else ""


def _filters(weights: Pixels) -> Pixels:
    """Filters of three channels in colour (OpenCV's, blue first), others by their first channel."""
    if weights.shape[1] == 3:
        planes = [_tiles(weights[:, channel], False) for channel in (2, 1, 0)]
        return _stretched(np.stack(planes, axis=-1))
    return _tiles(weights[:, 0])


def _tiles(planes: Pixels, stretched: bool = True) -> Pixels:
    """Planes (N, H, W) side by side, as nearly square as can be, one pixel between them."""
    planes = planes[:MOST]
    step = -(-max(planes.shape[1:]) // WIDEST)
    planes = planes[:, ::step, ::step]
    if stretched:
        planes = np.stack([_stretched(plane) for plane in planes])
    count, height, width = planes.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan, np.float32)
    for index, plane in enumerate(planes):
        row, column = divmod(index, columns)
        top, left = row * (height + 1), column * (width + 1)
        grid[top : top + height, left : left + width] = plane
    return grid


def _stretched(values: Pixels) -> Pixels:
    """From 0 for the smallest finite value to 1 for the largest."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (values - low) / (high - low or 1.0)


def _png(pixels: Pixels) -> str:
    image: Any = extra("matplotlib.image", "inspect", "pictures of filters")
    file = io.BytesIO()
    shown = np.nan_to_num(pixels, nan=1.0, posinf=1.0, neginf=0.0)
    image.imsave(file, shown, format="png", cmap="gray", vmin=0, vmax=1)
    return base64.b64encode(file.getvalue()).decode("ascii")
