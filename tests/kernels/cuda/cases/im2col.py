"""im2col and col2im, along one to three axes."""

from math import prod

from tests.kernels.cuda.case import Case, normal

WINDOWS = [  # images, channels, spatial, kernel, stride, pad, dilation
    (2, 3, (7, 8), (3, 2), (2, 1), (1, 2), (1, 2)),
    (1, 2, (9,), (3,), (2,), (1,), (2,)),
    (1, 2, (5, 4, 6), (2, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 2)),
    (1, 1, (3, 3), (3, 3), (1, 1), (0, 0), (1, 1)),
    (2, 1, (5, 5), (1, 1), (3, 3), (0, 0), (1, 1)),
]

CASES = []
for images, channels, spatial, kernel, stride, pad, dilation in WINDOWS:
    out = tuple(
        (s + 2 * p - d * (k - 1) - 1) // step + 1
        for s, k, step, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    col = normal(images, channels * prod(kernel), *out)
    x = normal(images, channels, *spatial)
    CASES += [
        Case("im2col", x, col, kernel, stride, pad, dilation),
        Case("col2im", col, x, kernel, stride, pad, dilation),
    ]
