"""Random numbers on the device: Philox 4x32-10 (Salmon and others, 2011).

Philox is a function of a key and a counter: the counter here is an element's number, so that a key
gives the same numbers whatever the grid, on every GPU and in the emulators. A thread makes four.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, grid

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # multipliers of the rounds
W0, W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)  # what the key grows by after each
ROUNDS = 10
HIGH = np.uint64(32)


def fill_bernoulli(x: DeviceArray, p: float, key: tuple[int, int]) -> None:
    """Overwrite a flat array with 1 (with probability p) and 0; key is two numbers of 32 bits."""
    # 2^32 p is compared with 32 random bits; p = 1 would need one more
    most = np.uint32(min(round(p * 2**32), 2**32 - 1))
    _bernoulli.over(-(-x.size // 4))(x, most, p >= 1, *map(np.uint32, key))


@inner
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random numbers of 32 bits, for a counter of four and a key of two such numbers."""
    for _ in range(ROUNDS):
        a, b = M0 * np.uint64(c0), M1 * np.uint64(c2)
        c0, c1, c2, c3 = (
            np.uint32(np.uint32(b >> HIGH) ^ c1 ^ k0), np.uint32(b),
            np.uint32(np.uint32(a >> HIGH) ^ c3 ^ k1), np.uint32(a),
        )  # fmt: skip
        k0, k1 = np.uint32(k0 + W0), np.uint32(k1 + W1)
    return c0, c1, c2, c3


@kernel
def _bernoulli(x: F32, most: Any, always: bool, k0: Any, k1: Any) -> None:
    i = grid()
    if 4 * i < x.size:
        none = np.uint32(0)
        drawn = philox(np.uint32(i), none, none, none, k0, k1)
        for lane in range(4):
            if 4 * i + lane < x.size:
                x[4 * i + lane] = 1.0 if always or drawn[lane] < most else 0.0
