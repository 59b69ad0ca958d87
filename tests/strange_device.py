"""The device `apart`: the kernels of `reference`, below arrays that the host cannot touch.

It is what a card is to the core, without a card: whatever reads or writes a device's array without
a kernel or a transfer fails, and transfers are counted. It enters as any device does, as a folder.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe.device import available as is_available
from minicaffe.device import known_devices, known_families
from minicaffe.host_array import HostArray

FOLDER = "apart"
MEMORY = ("allocate", "upload", "download", "fill", "synchronize", "available")

transfers: list[tuple[str, int]] = []  # ("up" or "down", floats) since it was last cleared
waits: list[str] = []  # devices that were waited for


class ApartArray:
    """An array of the device: its shape, and views of it. Its values are for kernels."""

    __array_ufunc__ = None  # no operator of NumPy's takes it
    __iter__ = None

    def __init__(self, inside: np.ndarray[Any, Any]) -> None:
        self._inside = inside

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inside.shape

    @property
    def size(self) -> int:
        return self._inside.size

    def reshape(self, *shape: Any) -> ApartArray:
        return ApartArray(_view(self._inside, self._inside.reshape(*shape)))

    def view(self, dtype: str) -> ApartArray:
        return ApartArray(self._inside.view(dtype))

    def __getitem__(self, index: Any) -> ApartArray:
        return ApartArray(_view(self._inside, self._inside[index]))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("the host cannot touch an array of the device 'apart'")


def _view(whole: Any, part: Any) -> Any:
    if not isinstance(part, np.ndarray) or not (part.size == 0 or np.shares_memory(whole, part)):
        raise TypeError("this would read an array of the device 'apart', not be a view of it")
    return part


def inside(value: Any, where: str = "") -> Any:
    """What a kernel of `reference` takes for an argument; TypeError for an array of the host."""
    if isinstance(value, ApartArray):
        return value._inside
    if isinstance(value, np.ndarray | HostArray):
        raise TypeError(f"{where}: an array of the host for a kernel of the device 'apart'")
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(inside(each, where) for each in value)
    return value


def kernels(family: str) -> dict[str, Any]:
    """The functions of a family of `reference`, for arrays of this device."""
    module = importlib.import_module(f"minicaffe.kernels.reference.{family}")
    public = {name: value for name, value in vars(module).items() if name[0] != "_"}
    return {
        name: _apart(value, f"{family}.{name}") if callable(value) else value
        for name, value in public.items()
        if getattr(value, "__module__", "").startswith("minicaffe.kernels")
    }


def _apart(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    if isinstance(function, type):
        return function

    def call(*args: Any, **named: Any) -> Any:
        result = function(
            *(inside(each, name) for each in args),
            **{key: inside(each, name) for key, each in named.items()},
        )
        if isinstance(result, np.ndarray):
            raise TypeError(f"{name} returns an array of the host")
        return result

    return call


# --- memory.py ----------------------------------------------------------------------------------


def allocate(count: int, device: str) -> ApartArray:
    return ApartArray(np.zeros(count, np.float32))


def upload(host: np.ndarray[Any, Any], array: ApartArray) -> None:
    assert isinstance(host, np.ndarray) and host.shape == array.shape
    transfers.append(("up", host.size))
    array._inside[...] = host


def download(array: ApartArray, host: np.ndarray[Any, Any]) -> None:
    assert isinstance(host, np.ndarray) and host.shape == array.shape
    transfers.append(("down", host.size))
    host[...] = array._inside


def fill(array: ApartArray, value: float) -> None:
    array._inside[...] = value


def synchronize(device: str) -> None:
    waits.append(device)


def available(device: str) -> tuple[bool, str]:
    return True, ""


def others(than: Sequence[str]) -> list[str]:
    """The other devices that can be used: this machine's cards, and those of MINICAFFE_PATH."""
    return [name for name in known_devices() if name not in than and is_available(name)[0]]


# --- the folder ---------------------------------------------------------------------------------


def write_folder(root: Path, name: str = FOLDER, without: Sequence[str] = ()) -> Path:
    """Make kernels/<name>/ below `root`, with all families of `reference` but some."""
    folder = root / "kernels" / name
    folder.mkdir(parents=True)
    files = {family: f"globals().update(strange_device.kernels({family!r}))\n"
             for family in known_families("reference") - {*without}}  # fmt: skip
    files["memory"] = f"from tests.strange_device import {', '.join(MEMORY)}\n"
    files["__init__"] = '"""A device of the tests."""\n'
    for family, text in files.items():
        (folder / f"{family}.py").write_text(f"from tests import strange_device\n\n{text}")
    return root


def enter(root: Path) -> None:
    """Let this process find what MINICAFFE_PATH would let a new one find."""
    importlib.import_module("minicaffe.kernels").__path__.append(str(root / "kernels"))
