"""Memory of the device: see `minicaffe/device.py` for what each function owes."""

from typing import Any

import numpy as np

from minicaffe.errors import DeviceError

from ._array import DeviceArray
from ._backend import backend, chosen
from ._missing import missing

transfers = {"up": 0, "down": 0}  # of this process so far; a test counts them


class Allocation:
    """Memory of a device, given back when nobody holds it any more."""

    __slots__ = ("address", "backend")

    def __init__(self, size: int, device: str) -> None:
        self.backend = backend(device)
        self.address = self.backend.allocate(max(size, 4))

    def __del__(self) -> None:
        if hasattr(self, "address"):
            self.backend.free(self.address)


def available(device: str) -> tuple[bool, str]:
    """Whether kernels can run here, and if not what is missing."""
    try:
        reason = missing(chosen(), device)
    except DeviceError as error:
        reason = str(error)
    return not reason, reason


def cards() -> list[str]:
    """A line for each GPU of this machine."""
    from ._backend.gpu import Gpu, count

    return [Gpu(card).describe() for card in range(count())]


def allocate(count: int, device: str) -> DeviceArray:
    """A flat array of zeros."""
    owner = Allocation(4 * count, device)
    owner.backend.fill(owner.address, np.uint8(0), max(4 * count, 4))
    return DeviceArray(owner.address, (count,), np.float32, owner)


def upload(host: Any, array: DeviceArray) -> None:
    """Copy an array of the host into one of the device, of the same shape."""
    assert host.shape == array.shape
    transfers["up"] += 1
    if host.size:
        array.owner.backend.upload(array.address, host)


def download(array: DeviceArray, host: Any) -> None:
    """Copy back, after the kernels that write the array."""
    assert host.shape == array.shape
    transfers["down"] += 1
    if host.size:
        array.owner.backend.download(array.address, host)


def stage(host: Any, device: str) -> Any:
    """Begin to bring an array of the host to the device, beside the kernels that run there.

    The host may change it when this returns. Any thread may call it.
    """
    transfers["up"] += 1
    return backend(device).stage(host)


def unstage(staged: Any, array: DeviceArray) -> None:
    """Write into an array what was staged, before the kernels that are launched from now on."""
    array.owner.backend.unstage(staged, array.address, array.nbytes)


def fill(array: DeviceArray, value: float) -> None:
    """Write one value into all of an array."""
    if array.size:
        array.owner.backend.fill(array.address, array.dtype.type(value), array.size)


def copy(source: DeviceArray, target: DeviceArray) -> None:
    """Copy an array into another one of the same device, which has as many bytes."""
    assert source.nbytes == target.nbytes
    if target.size:
        target.owner.backend.copy(target.address, source.address, source.nbytes)


def synchronize(device: str) -> None:
    """Wait until all that was started is done."""
    backend(device).synchronize()


def scratch(beside: DeviceArray, count: int, dtype: str = "float32") -> DeviceArray:
    """A flat array for what a kernel hands to the next, on the device of another array.

    What it holds at first is not defined.
    """
    owner = Allocation(count * np.dtype(dtype).itemsize, beside.owner.backend.device_name)
    return DeviceArray(owner.address, (count,), dtype, owner)
