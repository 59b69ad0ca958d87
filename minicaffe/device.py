"""Devices and the door to their kernels: `load_kernel("pooling", "cpu")`.

A device is a folder of `kernels/`, a kernel family a file in it; the same family has the same
functions on every device. "cuda:1" is the second card of the folder `cuda`.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from .errors import DeviceError

HOST_DEVICES = frozenset({"reference", "cpu"})


def folder(device: str) -> str:
    """The folder of `kernels/` that serves a device: "cuda:1" -> "cuda"."""
    return device.partition(":")[0]


@cache
def place(device: str) -> str:
    """Where a device keeps its arrays: "host" for those that compute in main memory."""
    return "host" if device in HOST_DEVICES else device


def known_devices() -> list[str]:
    """The devices that have a folder of kernels."""
    kernels = importlib.import_module("minicaffe.kernels")
    return sorted(found.name for found in pkgutil.iter_modules(kernels.__path__) if found.ispkg)


@cache
def known_families(device: str) -> frozenset[str]:
    """The kernel families that a device has."""
    name = folder(device)
    if name not in known_devices():
        known = ", ".join(known_devices())
        raise DeviceError(f"no device '{device}' (there are: {known}; a card by number: cuda:1)")
    package = importlib.import_module(f"minicaffe.kernels.{name}")
    names = (found.name for found in pkgutil.iter_modules(package.__path__))
    return frozenset(name for name in names if not name.startswith("_"))


@cache
def load_kernel(family: str, device: str) -> ModuleType:
    """The module of kernel functions of a family for a device.

    Raises DeviceError with what the device has when there is no such family.
    """
    families = known_families(device)
    if family not in families:
        known = ", ".join(sorted(families)) or "none"
        raise DeviceError(f"no kernel '{family}' for '{device}' (it has: {known})")
    return importlib.import_module(f"minicaffe.kernels.{folder(device)}.{family}")
