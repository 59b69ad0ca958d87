"""im2col: what a filter sees at each position of an image, a row for each tap; col2im adds it back.

    col[n, (c, r), p] = x[n, c, stride * p + dilation * r - pad]     (0 outside of the image)

for taps r of the kernel and positions p of the output, one number an axis; any number of axes.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Extents = tuple[int, ...]


def im2col(
    x: F32, col: F32, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents
) -> None:
    """Write col (N, C * taps, *out) from the images x (N, C, *spatial)."""
    images, channels, *_ = x.shape
    out = col.shape[2:]
    padding = [(0, 0), (0, 0), *((p, p) for p in pad)]
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    seen = sliding_window_view(np.pad(x, padding), reach, axis=tuple(range(2, x.ndim)))
    positions = tuple(slice(None, None, s) for s in stride)
    taps = tuple(slice(None, None, d) for d in dilation)
    seen = seen[(slice(None), slice(None), *positions, *taps)]
    # (N, C, *out, *kernel) -> (N, C, *kernel, *out)
    axes = len(kernel)
    order = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    col.reshape(images, channels, *kernel, *out)[...] = seen.transpose(order)


def col2im(
    col: F32, dx: F32, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents
) -> None:
    """Overwrite the images dx (N, C, *spatial) with the sums of what col has for each value."""
    images, channels, *spatial = dx.shape
    out = col.shape[2:]
    padded = np.zeros(
        (images, channels, *(s + 2 * p for s, p in zip(spatial, pad, strict=True))), np.float32
    )
    taps = col.reshape(images, channels, *kernel, *out)
    for tap in np.ndindex(*kernel):
        seen = tuple(_places(tap, out, stride, dilation))
        padded[(slice(None), slice(None), *seen)] += taps[(slice(None), slice(None), *tap)]
    inside = (slice(p, p + s) for p, s in zip(pad, spatial, strict=True))
    dx[...] = padded[(slice(None), slice(None), *inside)]


def _places(tap: Extents, out: Extents, stride: Extents, dilation: Extents) -> Iterator[slice]:
    """Where a tap reads the padded image, along each axis."""
    for r, count, s, d in zip(tap, out, stride, dilation, strict=True):
        yield slice(r * d, r * d + s * count, s)
