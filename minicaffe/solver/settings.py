"""What every solver checks of its parameters before it builds anything."""

from __future__ import annotations

import math

from ..errors import SolverError
from ..proto import minicaffe_pb2 as pb

INFINITY = math.inf
RANGES = {  # the least and the greatest value; all must be finite
    "base_lr": (0.0, INFINITY),
    "gamma": (-INFINITY, INFINITY),  # the policies say more
    "power": (-INFINITY, INFINITY),
    "momentum": (0.0, 1.0),
    "momentum2": (0.0, 1.0),
    "rms_decay": (0.0, 1.0),
    "delta": (0.0, INFINITY),
    "weight_decay": (0.0, INFINITY),
    "clip_gradients": (-INFINITY, INFINITY),  # negative for no limit
    "average_loss": (1.0, INFINITY),
    "iter_size": (1.0, INFINITY),
}


def check_settings(param: pb.SolverParameter) -> None:
    """Raise SolverError for numbers that no solver can train with, nan among them."""
    for name, (least, greatest) in RANGES.items():
        value = getattr(param, name)
        if not (math.isfinite(value) and least <= value <= greatest):
            raise SolverError(f"{name} must be {_range(least, greatest)}, not {value:g}")
    if param.regularization_type not in ("L1", "L2"):
        raise SolverError(f"no regularization_type '{param.regularization_type}' (L1, L2)")


def _range(least: float, greatest: float) -> str:
    if least == -INFINITY:
        return "a finite number"
    return f"at least {least:g}" if greatest == INFINITY else f"in [{least:g}, {greatest:g}]"
