"""Pooling windows over the planes of (N, C, H, W): their number, and the kernels that need them.

Shared by Pooling and SPP.
"""

import math
from dataclasses import dataclass

from minicaffe.layer import Layer

Pair = tuple[int, int]  # along height, along width


@dataclass(frozen=True)
class PoolingWindow:
    """kernel, stride and pad; `ceil` rounds the number of windows up."""

    kernel: Pair
    stride: Pair
    pad: Pair
    ceil: bool = True

    def pooled(self, extents: Pair) -> Pair:
        """How many windows there are.

        round((in + 2 pad - kernel) / stride) + 1; with padding anywhere, a last window that would
        begin after the image and its left padding is left out.
        """
        rounded = math.ceil if self.ceil else math.floor
        counts = []
        for extent, kernel, stride, pad in zip(
            extents, self.kernel, self.stride, self.pad, strict=True
        ):
            count = rounded((extent + 2 * pad - kernel) / stride) + 1
            if any(self.pad) and (count - 1) * stride >= extent + pad:
                count -= 1
            counts.append(count)
        return counts[0], counts[1]

    def check(self, layer: Layer, extents: Pair) -> None:
        """Raise LayerError unless there are windows, and each begins inside the image."""
        if any(pad >= kernel for pad, kernel in zip(self.pad, self.kernel, strict=True) if pad):
            raise layer.error(f"pad {self.pad} must be smaller than the kernel {self.kernel}")
        counts = self.pooled(extents)
        starts = [(count - 1) * stride for count, stride in zip(counts, self.stride, strict=True)]
        bad = any(count < 1 for count in counts)
        if any(self.pad):
            bad |= any(start >= extent + pad for start, extent, pad in
                       zip(starts, extents, self.pad, strict=True))  # fmt: skip
        if bad:
            raise layer.error(
                f"an image of {extents} does not fit kernel {self.kernel}, stride {self.stride}, "
                f"pad {self.pad}: {counts} windows"
            )
