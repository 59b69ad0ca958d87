"""The part of the inspector's data that is about a net as a whole: drawing, memory, roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pass = Literal["forward", "backward", "update"]


@dataclass(frozen=True)
class Box:
    """A layer or a blob in the drawing: its middle and its size, in the drawing's units."""

    key: str
    kind: Literal["layer", "blob"]
    name: str
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Edge:
    """An arrow along `points`; `label` is the blob's shape, and stands at (`x`, `y`)."""

    source: str
    target: str
    label: str
    points: tuple[tuple[float, float], ...]
    x: float
    y: float


@dataclass(frozen=True)
class Graph:
    """The net from top to bottom: y grows downwards, all lies in `width` times `height`."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Life:
    """Blobs that are one piece of memory, needed from one layer to another (numbers from 0)."""

    blobs: tuple[str, ...]
    first: int
    last: int
    bytes: int
    buffer: int  # -1: memory of its own


@dataclass(frozen=True)
class MemoryPlan:
    """Which blobs could share memory, in a net that only runs forward."""

    bytes_alone: int
    bytes_shared: int
    buffers: tuple[int, ...]
    lives: tuple[Life, ...]


@dataclass(frozen=True)
class Point:
    """A layer's pass in the roofline: operations a byte, and operations a second (1e9)."""

    layer: str
    pass_: Pass
    intensity: float
    gflops: float


@dataclass(frozen=True)
class Roofline:
    """What the device reaches in gemm and in copies, and where the layers lie."""

    peak_gflops: float
    bandwidth_gb_s: float
    points: tuple[Point, ...]
    missing: str = ""
