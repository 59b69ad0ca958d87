"""Convolutions for the tests of a way: shapes, random images, and the exact results in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from minicaffe.device import load_kernel
from minicaffe.errors import KernelError
from minicaffe.labs.plugin import close

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A convolution of images (N, C, H, W); `kernel` and so on along both axes."""

    images: int
    channels: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def out(self) -> tuple[int, ...]:
        """Height and width of the outputs."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                self.size, self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        )

    def __str__(self) -> str:
        words = [f"{self.images} images of {self.channels} x {self.size[0]} x {self.size[1]}",
                 f"{self.outputs} filters of {self.kernel[0]} x {self.kernel[1]}"]  # fmt: skip
        for name, plain in (("stride", (1, 1)), ("pad", (0, 0)), ("dilation", (1, 1))):
            if getattr(self, name) != plain:
                words.append(f"{name} {getattr(self, name)}")
        return ", ".join([*words, *([f"{self.groups} groups"] if self.groups > 1 else [])])


# From the plainest to those in which every number of the formula differs from the others.
ANY = (
    Shape(1, 1, 1, (4, 4), (3, 3)),
    Shape(2, 3, 4, (5, 6), (3, 2)),
    Shape(1, 2, 2, (5, 7), (3, 3), pad=(1, 2)),
    Shape(1, 2, 3, (7, 8), (2, 3), stride=(2, 3), pad=(1, 0)),
    Shape(1, 1, 2, (8, 9), (2, 3), pad=(2, 1), dilation=(3, 2)),
    Shape(2, 4, 6, (5, 4), (3, 2), stride=(1, 2), pad=(1, 1), groups=2),
)
THREE = (  # 3 x 3 taps, stride 1: even and odd outputs, all paddings, groups
    Shape(1, 1, 1, (4, 4), (3, 3)),
    Shape(2, 3, 2, (6, 8), (3, 3), pad=(1, 1)),
    Shape(1, 2, 3, (5, 8), (3, 3), pad=(0, 1)),
    Shape(1, 2, 1, (7, 3), (3, 3), pad=(2, 1)),
    Shape(2, 4, 6, (5, 6), (3, 3), pad=(1, 2), groups=2),
)


class Case:
    """A convolution with its arrays: x, weight, bias, dy."""

    def __init__(self, shape: Shape, rng: np.random.Generator) -> None:
        self.shape = shape
        s = shape
        depth = s.channels // s.groups, *s.kernel
        self.x = _random(rng, s.images, s.channels, *s.size)
        self.weight = _random(rng, s.outputs, *depth)
        self.bias = _random(rng, s.outputs)
        self.dy = _random(rng, s.images, s.outputs, *s.out)

    def plan(self, device: str = "cpu") -> Any:
        """The family's plan."""
        s = self.shape
        window = s.kernel, s.stride, s.pad, s.dilation, s.groups
        return load_kernel("convolution", device).plan(self.x.shape, self.dy.shape, *window)

    def scratch(self, way: Any, plan: Any) -> F32:
        """What the way asks for, full of NaN: it must not be read before it is written."""
        return np.full(way.scratch_size(plan), np.nan, np.float32)

    def exact(self) -> tuple[F64, F64, F64]:
        """y, dx and dW by the definition, in float64."""
        s = self.shape
        wide = np.pad(self.x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in s.pad)])
        dwide, y = np.zeros_like(wide), np.zeros(self.dy.shape)
        y += self.bias.reshape(1, -1, 1, 1)
        dweight = np.zeros(self.weight.shape)
        each, per = s.channels // s.groups, s.outputs // s.groups
        for g in range(s.groups):
            ins, outs = slice(g * each, g * each + each), slice(g * per, g * per + per)
            for r, t in np.ndindex(*s.kernel):
                seen = (slice(None), ins, *_places((r, t), s))
                weight, dy = np.float64(self.weight[outs, :, r, t]), np.float64(self.dy[:, outs])
                y[:, outs] += np.einsum("ncij,oc->noij", wide[seen], weight)
                dwide[seen] += np.einsum("noij,oc->ncij", dy, weight)
                dweight[outs, :, r, t] = np.einsum("ncij,noij->oc", wide[seen], dy)
        inside = tuple(slice(p, p + n) for p, n in zip(s.pad, s.size, strict=True))
        return y, dwide[(slice(None), slice(None), *inside)], dweight


def _random(rng: np.random.Generator, *shape: int) -> F32:
    return rng.standard_normal(shape).astype(np.float32)


def _places(tap: tuple[int, int], s: Shape) -> list[slice]:
    """Where a tap reads the padded images."""
    axes = zip(tap, s.out, s.stride, s.dilation, strict=True)
    return [slice(r * d, r * d + step * count, step) for r, count, step, d in axes]


@contextmanager
def naming(shape: Shape) -> Iterator[None]:
    """An error of a kernel tells the shape too."""
    try:
        yield
    except KernelError as error:
        pytest.fail(f"{error} ({shape})")


def check_forward(way: Any, shapes: Sequence[Shape], rng: np.random.Generator) -> None:
    """way.forward overwrites y with W * x + bias."""
    for shape in shapes:
        case = Case(shape, rng)
        plan, y = case.plan(), np.full_like(case.dy, np.nan)
        with naming(shape):
            way.forward(plan, case.x, case.weight, case.bias, y, case.scratch(way, plan))
        close("y", y, case.exact()[0], str(shape), rtol=1e-4, atol=1e-4)


def check_backward_data(way: Any, shapes: Sequence[Shape], rng: np.random.Generator) -> None:
    """way.backward_data overwrites dx."""
    for shape in shapes:
        case = Case(shape, rng)
        plan, dx = case.plan(), np.full_like(case.x, np.nan)
        with naming(shape):
            way.backward_data(plan, case.dy, case.weight, dx, case.scratch(way, plan))
        close("dx", dx, case.exact()[1], str(shape), rtol=1e-4, atol=1e-4)


def check_backward_weight(way: Any, shapes: Sequence[Shape], rng: np.random.Generator) -> None:
    """way.backward_weight adds to dW."""
    for shape in shapes:
        case = Case(shape, rng)
        plan, dweight = case.plan(), np.full_like(case.weight, 2)
        with naming(shape):
            way.backward_weight(plan, case.x, case.dy, dweight, case.scratch(way, plan))
        said = f"{shape}; dW held 2 before, and the gradient is added"
        close("dW", dweight, 2 + case.exact()[2], said, rtol=1e-4, atol=1e-4)
