"""Convolutions in the largest tiles, which plans choose for more than a test should compute.

The emulator that checks runs them: it has no machine code to make of their long kernels.
"""

from typing import Any

import pytest

from minicaffe.device import load_kernel
from minicaffe.kernels.cuda._tiles import LARGE
from tests.kernels.cuda.case import Case, Own, compare, normal

SHAPES = (1, 9, 12, 13), (1, 140, 6, 13), (3, 3), (2, 1), (1, 1), (1, 1), 1


def planned(family: Any) -> Any:
    """The plan of a device, on `cuda` with large tiles."""
    plan = family.plan(*SHAPES)
    if family is load_kernel("convolution", "cuda"):
        vars(plan).update(dict.fromkeys(("forward_tile", "data_tile", "weight_tile"), LARGE))
    return plan


X, Y = normal(*SHAPES[0]), normal(*SHAPES[1])
WEIGHT, BIAS = normal(140, 9, 3, 3), normal(140)
PLAN = Own(planned, "plan")
SCRATCH = Own(lambda family: normal(family.scratch_size(planned(family))), "scratch")
PRODUCTS = [
    Case("forward", PLAN, X, WEIGHT, BIAS, Y, SCRATCH, atol=1e-4),
    Case("backward_data", PLAN, Y, WEIGHT, X, SCRATCH, atol=1e-4),
    Case("backward_weight", PLAN, X, Y, WEIGHT, SCRATCH, atol=1e-4),
]


@pytest.mark.parametrize("case", PRODUCTS, ids=lambda case: case.function)
def test_large_tiles(cuda: str, emulated: None, case: Case) -> None:
    compare("convolution", case, cuda)
