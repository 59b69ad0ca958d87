"""What runs kernels: a GPU by its driver, or this machine's processor by one of two emulators.

    MINICAFFE_CUDA=gpu       the driver; the default
    MINICAFFE_CUDA=emulate   an emulator that checks each access: bounds, races, barriers; slow
    MINICAFFE_CUDA=jit       an emulator that compiles the PTX for the processor; checks bounds

All three run the same PTX. A backend has

    name, device_name, compute_capability, shared_bytes
    allocate(bytes) -> address, free(address)
    upload(address, host), download(address, host), fill(address, value, count), copy(to, of, bytes)
    stage(host) -> what is on its way, unstage(staged, address, bytes)
    load(ptx, name) -> a kernel, with `shared_bytes`
    launch(kernel, grid, block, shared, arguments, stream), synchronize()
"""

import os
import threading
from functools import cache
from typing import Any

from minicaffe.errors import DeviceError

VARIABLE = "MINICAFFE_CUDA"
CHOICES = ("gpu", "emulate", "jit")

_making = threading.Lock()  # threads that come at the same time get the same one


def chosen() -> str:
    """The backend that MINICAFFE_CUDA names. Raises DeviceError for another word."""
    name = os.environ.get(VARIABLE, "") or "gpu"
    if name not in CHOICES:
        raise DeviceError(f"{VARIABLE}={name}: expected one of {', '.join(CHOICES)}")
    return name


def backend(device: str = "cuda") -> Any:
    """What runs the kernels of a device: "cuda:1" is the second card."""
    return _of_card(int(device.partition(":")[2] or 0))


def _of_card(card: int) -> Any:
    with _making:
        return _named(chosen(), card)


@cache
def _named(name: str, card: int) -> Any:
    if name == "gpu":
        from .gpu import Gpu

        return Gpu(card)
    from .emulator import Emulator

    return Emulator(name, card)
