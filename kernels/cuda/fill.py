"""Fill: one value everywhere, by the device's memory itself."""

from . import memory
from ._array import DeviceArray


def fill(x: DeviceArray, value: float) -> None:
    """Write the value into all of x (any shape)."""
    memory.fill(x, value)
