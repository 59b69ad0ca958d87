"""Float labels as class numbers, inside kernels."""

from typing import Any

import numpy as np

from ._compile.jit import inner

IGNORED = -1
OUTSIDE = -2
NO_LABEL = -(2**31)  # no label is truncated to this

TOO_LARGE = np.float32(2**31)
WHOLE = np.float32(2**23)  # from here on a float32 has no fraction


def ignored_label(ignore: int | None) -> int:
    """`ignore` for `class_of`, in which every argument is a number."""
    return NO_LABEL if ignore is None else ignore


@inner
def class_of(label: Any, classes: int, ignore: int) -> Any:
    """The label truncated to an integer in 0 .. classes - 1, or IGNORED, or OUTSIDE."""
    if not abs(label) < TOO_LARGE:  # or NaN
        return OUTSIDE
    number = np.int32(label)
    if number == ignore:
        return IGNORED
    return number if 0 <= number < classes else OUTSIDE


@inner
def truncated(x: Any) -> Any:
    """A float32 without its fraction."""
    return np.float32(np.int32(x)) if abs(x) < WHOLE else x
