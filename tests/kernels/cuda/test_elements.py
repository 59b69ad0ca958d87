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


@pytest.mark.parametrize("start", [0, 1, 2, 4])
def test_arrays_that_are_summed_may_begin_anywhere(cuda: str, start: int) -> None:
    """One array begins after so many numbers, the others at multiples of 16 bytes."""
    memory = load_kernel("memory", cuda)
    host = np.arange(90, dtype=np.float32)
    x, sums, loss = (memory.allocate(count, cuda) for count in (90, 51, 1))
    memory.upload(host, x)
    a, b = host[start : start + 51], host[32:83]
    load_kernel("split", cuda).backward([x[start : start + 51], x[32:83]], sums)
    result, value = np.empty(51, np.float32), np.empty(1, np.float32)
    memory.download(sums, result)
    np.testing.assert_array_equal(result, a + b)
    load_kernel("euclidean_loss", cuda).forward(x[start : start + 51], x[32:83], sums, loss, 2)
    memory.download(sums, result)
    memory.download(loss, value)
    np.testing.assert_array_equal(result, a - b)
    assert value[0] == 51 * (start - 32) ** 2 / 2
