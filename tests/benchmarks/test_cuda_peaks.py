"""The kernels that measure what a GPU reaches compute what they say, and refuse wrong numbers."""

import pytest

from benchmarks import cuda_peaks
from minicaffe.device import available

CAN, WHY = available("cuda")
pytestmark = pytest.mark.skipif(not CAN, reason=WHY)


def test_speeds_are_those_of_right_numbers() -> None:
    assert cuda_peaks.float32_speed(blocks=2, steps=40) > 0
    assert cuda_peaks.tf32_speed(blocks=2, steps=3) > 0
    assert cuda_peaks.copy_speed(100) > 0


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(AssertionError, match="where 17.0 is expected"):
        cuda_peaks._seconds(cuda_peaks._multiply_adds, 0.5, 1, 40, 17.0)
