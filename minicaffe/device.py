"""Devices and the door to their kernels: `load_kernel("pooling", "cpu")`.

A device is a folder of `kernels/`, a kernel family a file in it; the same family has the same
functions on every device. "cuda:1" is the second card of the folder `cuda`.

A folder without a file `memory.py` is a host device: its kernels work on NumPy arrays in main
memory. A device with memory of its own brings that file, with

    available(device)              -> (whether it can be used on this machine, if not: why)
    allocate(count, device)        -> a flat float32 array of zeros
    upload(host, array)            from a NumPy array to one of the device, of the same shape
    download(array, host)          and back; waits for the kernels that write it
    fill(array, value)             the value in all of it
    synchronize(device)            wait until all that was started is done

What the core and the layers do with its arrays, besides handing them to kernels, is to look at
`shape` and `size`, and to take views of them: `reshape`, `view(dtype)` and slices.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType

from .door import open_module
from .errors import DeviceError
from .overlay import new_folders


def folder(device: str) -> str:
    """The folder of `kernels/` that serves a device: "cuda:1" -> "cuda"."""
    return device.partition(":")[0]


@cache
def place(device: str) -> str:
    """Where a device keeps its arrays: "host" for those that compute in main memory."""
    return device if "memory" in known_families(device) else "host"


def known_devices() -> list[str]:
    """The devices that have a folder of kernels."""
    kernels = importlib.import_module("minicaffe.kernels")
    folders = {found.name for found in pkgutil.iter_modules(kernels.__path__) if found.ispkg}
    return sorted(folders | new_folders("kernels"))


def _unknown(device: str) -> str:
    return f"no device '{device}' (there are: {', '.join(known_devices())})"


@cache
def known_families(device: str) -> frozenset[str]:
    """The kernel families that a device has."""
    name = folder(device)
    if name not in known_devices():
        raise DeviceError(_unknown(device))
    package = importlib.import_module(f"minicaffe.kernels.{name}")
    names = (found.name for found in pkgutil.iter_modules(package.__path__))
    return frozenset(name for name in names if not name.startswith("_"))


def missing_families(device: str, families: Iterable[str]) -> tuple[str, ...]:
    """Those of some kernel families that a device does not have."""
    known = known_families(device)
    return tuple(family for family in families if family not in known)


def available(device: str) -> tuple[bool, str]:
    """Whether a device can be used on this machine; if not, the reason, as a sentence's end."""
    if folder(device) not in known_devices():
        return False, _unknown(device)
    if place(device) == "host":
        return True, ""
    can, why = load_kernel("memory", device).available(device)
    return can, "" if can else f"device '{device}' cannot be used here: {why}"


def check_available(device: str) -> None:
    """Raise DeviceError, with the reason, for a device that cannot be used on this machine."""
    can, why = available(device)
    if not can:
        raise DeviceError(why)


def check_precision(precision: str, device: str) -> None:
    """Raise DeviceError for a precision that the device does not have."""
    if precision != "float32" and folder(device) != "cuda":
        raise DeviceError(f"-precision {precision} is for the device cuda, not for {device}")


def synchronize(device: str) -> None:
    """Wait until all kernels that a device was given are done; on the host they are."""
    if place(device) != "host":
        load_kernel("memory", device).synchronize(device)


@cache
def load_kernel(family: str, device: str) -> ModuleType:
    """The module of kernel functions of a family for a device.

    Raises DeviceError with what the device has when there is no such family.
    """
    families = known_families(device)
    if family not in families:
        known = ", ".join(sorted(families)) or "none"
        raise DeviceError(f"no kernel '{family}' for '{device}' (it has: {known})")
    return open_module(f"minicaffe.kernels.{folder(device)}.{family}", DeviceError)
