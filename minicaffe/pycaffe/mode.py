"""Where nets run: `use_device("reference")`, and pycaffe's `set_mode_cpu`, `set_mode_gpu`."""

from .. import context
from ..device import check_available
from ..errors import DeviceError

_card = 0


def use_device(device: str) -> None:
    """Make nets built from now on (in this thread) run on a device: "reference", "cpu", "cuda:1".

    Raises DeviceError, with the reason, for one that is unknown or cannot be used on this machine.
    """
    check_available(device)
    context.current().device = device


def set_precision(precision: str) -> None:
    """With which numbers GPUs multiply in products of matrices and convolutions (in this thread).

    "float32", or "tf32": tensor cores, which see 10 bits of each factor's mantissa; sums stay
    float32. Other devices always take float32. Raises DeviceError for another word.
    """
    if precision not in context.PRECISIONS:
        known = ", ".join(context.PRECISIONS)
        raise DeviceError(f"no precision '{precision}' (there are: {known})")
    context.current().precision = precision


def set_mode_cpu() -> None:
    """Run on the CPU; stays with `reference` where that was chosen."""
    if context.current().device != "reference":
        use_device("cpu")


def set_device(card: int) -> None:
    """Choose the card that `set_mode_gpu` uses."""
    global _card
    _card = card


def set_mode_gpu() -> None:
    """Run on the card chosen by `set_device` (0 at first). Raises DeviceError without a card."""
    try:
        use_device(f"cuda:{_card}" if _card else "cuda")
    except DeviceError as error:
        raise DeviceError(f"set_mode_gpu: {error}; set_mode_cpu() needs no card") from None
