"""Four elements at a time where arrays begin at a multiple of 16 bytes, one elsewhere."""

import numpy as np
import pytest

from minicaffe.device import load_kernel


@pytest.mark.parametrize("start", [0, 1, 4])
def test_arrays_may_begin_anywhere(cuda: str, start: int) -> None:
    """Images of 15 numbers: the second begins at a multiple of 4 bytes, the fifth of 16."""
    memory, scale = load_kernel("memory", cuda), load_kernel("scale", cuda)
    host = np.arange(6 * 15, dtype=np.float32).reshape(6, 3, 5)
    factors = np.float32([1, -2, 3])
    x, factor = memory.allocate(90, cuda), memory.allocate(3, cuda)
    memory.upload(host.reshape(-1), x)
    memory.upload(factors, factor)
    part = x.reshape(6, 3, 5)[start:]
    scale.forward(part, factor, None, part)
    result = np.empty(90, np.float32)
    memory.download(x, result)
    host[start:] *= factors[:, None]
    np.testing.assert_array_equal(result, host.reshape(-1))
