"""Layers in Python, as pycaffe has them: a source of data and a loss, both with a param_str."""

import json

import numpy as np

import minicaffe as caffe


class LineData(caffe.Layer):
    """Points near a plane: tops are x (batch, dims) and y = x w + b + noise (batch, 1).

    param_str, in JSON: batch, w (a list, one number a dimension), b, noise (0), seed (0).
    """

    def setup(self, bottom, top):
        """Read param_str."""
        params = {"noise": 0.0, "seed": 0, **json.loads(self.param_str)}
        self.w = np.array(params["w"], np.float32)
        self.b, self.noise = params["b"], params["noise"]
        self.batch = params["batch"]
        self.rng = np.random.default_rng(params["seed"])

    def reshape(self, bottom, top):
        """Tops of the batch's size."""
        top[0].reshape(self.batch, len(self.w))
        top[1].reshape(self.batch, 1)

    def forward(self, bottom, top):
        """Draw a batch."""
        top[0].data[...] = self.rng.normal(size=top[0].data.shape)
        exact = np.dot(top[0].data, self.w) + self.b
        top[1].data[:, 0] = exact + self.noise * self.rng.normal(size=self.batch)

    def backward(self, top, propagate_down, bottom):
        """Data has no gradient."""


class EuclideanLoss(caffe.Layer):
    """sum((a - b)²) / (2 N), what the built-in EuclideanLoss computes; N items in a batch.

    param_str, in JSON, may hold a weight for the loss (1).
    """

    def setup(self, bottom, top):
        """Two bottoms are compared."""
        if len(bottom) != 2:
            raise Exception("two bottoms are needed to compute a distance")
        self.weight = json.loads(self.param_str or "{}").get("weight", 1.0)

    def reshape(self, bottom, top):
        """A scalar comes out."""
        if bottom[0].count != bottom[1].count:
            raise Exception(f"bottoms of {bottom[0].count} and {bottom[1].count} elements")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        """Keep the difference for backward."""
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = self.weight * np.sum(self.diff**2) / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        """The difference, of opposite signs for the two."""
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                scale = sign * self.weight * top[0].diff[0] / bottom[i].num
                bottom[i].diff[...] = scale * self.diff
