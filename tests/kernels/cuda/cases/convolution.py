"""Convolutions along one to three axes, in groups, strided, dilated, depthwise."""

from functools import partial
from typing import Any

from tests.kernels.cuda.case import Case, Own, normal

WINDOWS = [  # images, channels, outputs, groups, spatial, kernel, stride, pad, dilation
    (2, 3, 5, 1, (7, 8), (3, 2), (2, 1), (1, 2), (1, 2)),
    (2, 4, 6, 2, (6, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 2, 3, 1, (5, 5), (2, 2), (3, 3), (0, 0), (1, 1)),  # pixels that no filter sees
    (1, 2, 34, 1, (4, 4), (3, 3), (2, 3), (2, 2), (2, 3)),  # taps that share a factor with strides
    (2, 3, 2, 1, (9,), (3,), (2,), (1,), (2,)),
    (1, 2, 3, 1, (5, 4, 6), (2, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 2)),
    (1, 1, 1, 1, (3, 3), (3, 3), (1, 1), (0, 0), (1, 1)),
    (2, 3, 6, 3, (5, 6), (3, 2), (2, 1), (1, 1), (1, 2)),  # depthwise, two outputs a channel
    (3, 4, 4, 4, (7,), (3,), (1,), (1,), (1,)),
    (2, 1, 2, 1, (17, 17), (2, 2), (1, 1), (0, 0), (1, 1)),  # the filters' gradient in two parts
    (0, 2, 3, 1, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1)),
]


def planned(family: Any, shapes: Any) -> Any:
    """A device's plan."""
    return family.plan(*shapes)


def scratch(family: Any, shapes: Any) -> Any:
    """An array for a plan's scratch."""
    return normal(family.scratch_size(family.plan(*shapes)))


CASES = []
for images, channels, outputs, groups, spatial, kernel, stride, pad, dilation in WINDOWS:
    out = tuple(
        (s + 2 * p - d * (k - 1) - 1) // step + 1
        for s, k, step, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    x, y = normal(images, channels, *spatial), normal(images, outputs, *out)
    weight, bias = normal(outputs, channels // groups, *kernel), normal(outputs)
    shapes = x.shape, y.shape, kernel, stride, pad, dilation, groups
    plan = Own(partial(planned, shapes=shapes), f"kernel {kernel} stride {stride}")
    room = Own(partial(scratch, shapes=shapes), "scratch")
    CASES += [
        Case("forward", plan, x, weight, bias, y, room, atol=1e-5),
        Case("backward_data", plan, y, weight, x, room, atol=1e-5),
        Case("backward_weight", plan, x, y, weight, room, atol=1e-4),
    ]
CASES += [
    Case("forward", plan, x, weight, None, y, room, atol=1e-5),
    Case("backward_bias", normal(3, 5, 7, 11), normal(5), atol=1e-5),
    Case("backward_bias", normal(0, 2, 3), normal(2)),
    Case("add_bias", normal(5), normal(3, 5, 7, 2)),
]
