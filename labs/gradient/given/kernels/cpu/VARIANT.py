"""The family VARIANT on the device cpu: the NumPy functions, which work on its arrays too."""

from ..reference.VARIANT import backward, forward

__all__ = ["backward", "forward"]
