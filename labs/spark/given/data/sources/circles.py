"""Circles: points in a plane, inside of a circle (label 1) or outside (0); no file is read."""

import numpy as np

from ...proto import minicaffe_pb2 as pb
from ..source import DataSource, Sample

COUNT = 1280
RADIUS = 0.75


class Circles(DataSource):
    """Sample i is a point (1, 1, 2) that depends on i alone, so all ranks see the same data set."""

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        points = np.random.default_rng(7).uniform(-1, 1, (COUNT, 2))
        self.labels = (np.hypot(*points.T) < RADIUS).astype(np.float32)
        self.points = points.astype(np.float32).reshape(COUNT, 1, 1, 2)

    def __len__(self) -> int:
        return COUNT

    def read(self, index: int) -> Sample:
        """Sample `index`."""
        return Sample(f"{index}", (self.points[index], self.labels[index]))

    def close(self) -> None:
        """There is no file."""
