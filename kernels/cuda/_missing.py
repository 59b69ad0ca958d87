"""What a machine lacks for a backend, in words that name the line which installs it."""

from functools import cache
from importlib.util import find_spec

from ._backend.gpu import count
from ._compile.ptx import SHIPPED, versions

EMULATED = "pip install 'minicaffe[cuda-emu]'"
WITHOUT = "; without a GPU, MINICAFFE_CUDA=jit runs the same kernels on the processor (fast) and"
WITHOUT += " MINICAFFE_CUDA=emulate checks each of their accesses (slow)"


@cache
def missing(name: str, device: str) -> str:
    """What is missing for a backend to be a device of this machine; "" if nothing is."""
    card = device.partition(":")[2] or "0"
    if not card.isdecimal():
        return f"a card has a number, as in cuda:1, not '{card}'"
    if name == "gpu":
        return _no_gpu(int(card))
    if versions() is None and not SHIPPED.is_dir():
        return f"there is no compiler for CUDA kernels: {EMULATED}"
    return ""


def _no_gpu(card: int) -> str:
    if find_spec("cuda") is None or find_spec("cuda.bindings") is None:
        return f"cuda-bindings is not installed: pip install 'minicaffe[cuda]'{WITHOUT}"
    found = count()
    if not found:
        return f"there is no NVIDIA GPU with a driver{WITHOUT}"
    if card >= found:
        return f"there are {found} GPUs, numbered from 0"
    return "" if versions() else f"there is no compiler for CUDA kernels: {EMULATED}"
