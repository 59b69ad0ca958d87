"""Kernels of any device, called with NumPy arrays: what the tests of kernels compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicaffe.device import load_kernel, place


def kernels_of(family: str, device: str) -> Any:
    """The functions of a family; where arrays are not the host's, they move there and back."""
    ops = load_kernel(family, device)
    return ops if place(device) == "host" else Moved(ops, device)


class Moved:
    """Functions whose array arguments are uploaded, and downloaded when they have run."""

    def __init__(self, ops: Any, device: str) -> None:
        self.ops = ops
        self.device = device
        self.memory: Any = load_kernel("memory", device)

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.ops, name)

        def call(*args: Any, **named: Any) -> Any:
            there: dict[int, tuple[Any, Any, Any]] = {}
            moved = [self._upload(each, there) for each in args]
            result = function(
                *moved, **{key: self._upload(each, there) for key, each in named.items()}
            )
            for array, flat, card in there.values():
                self.memory.download(card, flat)
                array[...] = flat.view(array.dtype)[: array.size].reshape(array.shape)
            return result

        return call

    def _upload(self, value: Any, there: dict[int, tuple[Any, Any, Any]]) -> Any:
        """The array on the device; the same one for the same argument."""
        if isinstance(value, list):
            return [self._upload(each, there) for each in value]
        if not isinstance(value, np.ndarray):
            return value
        if id(value) not in there:
            flat = np.zeros(-(-value.nbytes // 4), np.float32)
            flat.view(value.dtype)[: value.size] = value.reshape(-1)
            card = self.memory.allocate(flat.size, self.device)
            self.memory.upload(flat, card)
            there[id(value)] = value, flat, card
        card = there[id(value)][2]
        typed = card if value.dtype == np.float32 else card.view(value.dtype.name)
        return typed[: value.size].reshape(value.shape)
