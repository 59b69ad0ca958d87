"""kernels/cpu/convolution/_direct.py: the definition, forward and backward."""

import numpy as np

from minicaffe.kernels.cpu.convolution import _direct as direct
from minicaffe.labs.conv.tests.convolutions import (
    ANY,
    check_backward_data,
    check_backward_weight,
    check_forward,
)


def test_forward(rng: np.random.Generator) -> None:
    check_forward(direct, ANY, rng)


def test_backward_data(rng: np.random.Generator) -> None:
    check_backward_data(direct, ANY, rng)


def test_backward_weight(rng: np.random.Generator) -> None:
    check_backward_weight(direct, ANY, rng)
