"""From accumulated gradients to changed parameters: what comes before and around an update rule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..blob import SyncedArray
from ..device import load_kernel, missing_families
from ..net.parameters import FlatParams
from ..proto import minicaffe_pb2 as pb

log = logging.getLogger("minicaffe.solver")

F = np.float32
FAMILIES = ("update", "norm")

Rule = Callable[..., tuple[Any, ...]]


def choose_device(net_device: str, root: bool) -> str:
    """Where to update a net's parameters: on its device if that has the kernels, else on the CPU.

    On the root, the log names the kernels that are missing.
    """
    missing = missing_families(net_device, FAMILIES)
    if missing and root:
        log.warning("The solver updates on the CPU, for want of kernels for %s: %s",
                    net_device, ", ".join(missing))  # fmt: skip
    return "cpu" if missing else net_device


def update_parameters(
    params: FlatParams,
    history: Sequence[SyncedArray],
    rule: Rule,
    rate: np.float32,
    numbers: Sequence[float],
    *,
    param: pb.SolverParameter,
    device: str,
    clip: float,
) -> None:
    """Change every parameter by a rule, in one pass over the flat buffers on a device.

    The history has a flat array a set; the rule's numbers are its own. The gradients are multiplied
    by `clip`, divided by the solver's iter_size and regularised; afterwards the diffs hold what was
    taken off the parameters.
    """
    apply = load_kernel("update", device).apply
    data, diff, *sets = (array.update(device) for array in (params.data, params.diff, *history))
    normalizer = float(F(1) / F(param.iter_size))
    decay, l1 = F(param.weight_decay), param.regularization_type == "L1"
    for where, lr_mult, decay_mult in runs(params):
        apply(
            rule,
            data[where],
            diff[where],
            [values[where] for values in sets],
            numbers,
            float(rate * F(lr_mult)),
            clip,
            normalizer,
            float(decay * F(decay_mult)),
            l1,
        )
    params.spread()


def runs(params: FlatParams) -> list[tuple[slice, float, float]]:
    """The flat buffers cut where the multipliers (of the rate, of the decay) change."""
    found: list[tuple[slice, float, float]] = []
    for where, *mults in zip(params.slices, params.lr_mults, params.decay_mults, strict=True):
        if found and [*found[-1][1:]] == mults:
            where = slice(found.pop()[0].start, where.stop)
        found.append((where, mults[0], mults[1]))
    return found


def clip_factor(params: FlatParams, limit: float, device: str, root: bool) -> float:
    """The factor that brings the norm of all gradients down to a limit; 1 below it.

    A limit below 0 is none. On the root, the log tells of what is clipped.
    """
    if limit < 0:
        return 1.0
    norm = load_kernel("norm", device).sum_of_squares(params.diff.read(device)) ** 0.5
    if not norm > limit:
        return 1.0
    factor = float(F(limit) / F(norm))
    if root:
        log.info(
            "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
            norm, limit, factor,
        )  # fmt: skip
    return factor
