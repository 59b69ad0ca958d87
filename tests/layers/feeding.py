"""Looking at what a layer of files feeds."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.one_layer import OneLayer

Feed = Callable[..., OneLayer]


def labels(one: OneLayer) -> list[int]:
    """The labels of the next batch."""
    one.forward()
    return [int(label) for label in np.asarray(one.top[1].data).ravel()]


def raw_draws(seed: int) -> Iterator[int]:
    """The 32-bit numbers of MT19937, as NumPy's legacy generator seeds it."""
    bits = np.random.RandomState(seed)._bit_generator
    while True:
        yield int(bits.random_raw())


def pixels(number: int, height: int = 6, width: int = 5) -> Any:
    """A colour picture, blue first, of which each value tells number and place."""
    return (np.arange(height * width * 3).reshape(height, width, 3) + 7 * number).astype(np.uint8)


def image_data(more: str = "", transform: str = "", root: str = "./") -> str:
    """The prototxt of a layer that reads the pictures of the file `list`."""
    return (
        f'type: "ImageData" transform_param {{ {transform} }}'
        f' image_data_param {{ source: "list" root_folder: "{root}" {more} }}'
    )
