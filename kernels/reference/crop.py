"""Crop: the part of an array that begins at `offsets`, one an axis."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, offsets: tuple[int, ...]) -> None:
    """Write the part of x that has the shape of y into y."""
    y[...] = x[_part(offsets, y.shape)]


def backward(dy: F32, dx: F32, offsets: tuple[int, ...]) -> None:
    """Write dy into the part of dx where it came from; the rest of dx stays."""
    dx[_part(offsets, dy.shape)] = dy


def _part(offsets: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(start, start + size) for start, size in zip(offsets, shape, strict=True))
