"""Random masks: by the thread's stream where a seed was given, else by the device if it can."""

from .. import context
from ..blob import SyncedArray
from ..device import known_families, load_kernel


def draw_mask(mask: SyncedArray, p: float, device: str) -> None:
    """Overwrite an array with 1 (with probability p) and 0.

    With a seed these are Caffe's bits on every device, drawn on the host; nobody can ask for the
    same ones again without one, and a device with a file `random.py` draws its own.
    """
    rng = context.current().rng
    if rng.is_seeded or "random" not in known_families(device):
        rng.fill_bernoulli(mask.write("cpu").reshape(-1), p)
    else:
        key = rng.draw(), rng.draw()
        load_kernel("random", device).fill_bernoulli(mask.write(device).reshape(-1), p, key)
