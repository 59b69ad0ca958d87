"""What all recurrent layers do between their matrix products.

# T steps, N sequences side by side, H hidden units, G inputs of a step's nonlinearity
# cont (N): 0 where a sequence begins at this step, 1 where it goes on
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def start(bias: F32, static: F32 | None, gates: F32) -> None:
    """Write bias (G), plus static (N, G) if given, into every step of gates (T, N, G)."""
    gates[...] = bias if static is None else bias + static


@np.errstate(all="ignore")
def mask(cont: F32, h: F32, masked: F32) -> None:
    """Write cont h into masked (N, H)."""
    masked[...] = cont[:, None] * h


@np.errstate(all="ignore")
def add_masked(dy: F32, cont: F32, dh: F32) -> None:
    """Write dy + cont dh into dh (N, H)."""
    dh[...] = dy + cont[:, None] * dh
