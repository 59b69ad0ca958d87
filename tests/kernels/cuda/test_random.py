"""Philox on the device, and the masks that are made of it."""

from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.device import load_kernel
from minicaffe.kernels.cuda._compile.jit import kernel
from minicaffe.kernels.cuda._compile.words import I32
from minicaffe.kernels.cuda.random import philox
from tests.small_nets import small_net

# Counter and key, and what they give: the known answers of Random123, the authors' own library.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
Words = tuple[int, ...]


@kernel
def draw(out: I32, counter: Any, key: Any) -> None:
    drawn = philox(*counter, *key)
    for lane in range(4):
        out[lane] = np.int32(drawn[lane])


def device_array(count: int, dtype: str = "float32") -> Any:
    return load_kernel("memory", "cuda").allocate(count, "cuda").view(dtype)


def host(array: Any) -> Any:
    values = np.empty(array.shape, array.dtype)
    load_kernel("memory", "cuda").download(array, values)
    return values


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_numbers_that_are_known(cuda: str, counter: Words, key: Words, expected: Words) -> None:
    out = device_array(4, "int32")
    draw[1, 1](out, tuple(map(np.uint32, counter)), tuple(map(np.uint32, key)))
    assert tuple(host(out).view(np.uint32)) == expected


def test_the_grid_does_not_matter_and_the_key_does(cuda: str) -> None:
    random = load_kernel("random", cuda)
    arrays = [device_array(n) for n in (1001, 2000, 2000)]
    for array, key in zip(arrays, [(1, 2), (1, 2), (1, 3)], strict=True):
        random.fill_bernoulli(array, 0.3, key)
    first, second, third = map(host, arrays)
    np.testing.assert_array_equal(first, second[:1001])
    assert (second != third).any()


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_ones(cuda: str, p: float) -> None:
    mask = device_array(20000)
    load_kernel("random", cuda).fill_bernoulli(mask, p, (7, 11))
    values = host(mask)
    assert set(values) <= {0.0, 1.0}
    assert abs(values.mean() - p) < 5 * np.sqrt(p * (1 - p) / 20000) + 1e-9


def test_dropout_draws_on_the_device_unless_there_is_a_seed(cuda: str) -> None:
    memory = load_kernel("memory", cuda)
    layer = 'layer { name: "y" type: "Dropout" bottom: "x" top: "y" }'
    net = small_net(layer, cuda, {"x": np.ones((3, 70))})
    net.forward_pass()  # the input goes up
    masks = []
    for seed in (None, None, 5, 5):
        if seed is not None:
            context.set_random_seed(seed)
        before = memory.transfers["up"]
        net.forward_pass()
        masks.append(np.array(net.layers[-1].mask.data.read("cpu")))
        assert memory.transfers["up"] - before == (seed is not None)
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks[2], masks[3])
