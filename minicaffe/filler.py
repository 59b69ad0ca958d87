"""Fillers: the first values of parameters, by name in the prototxt (`weight_filler { type: ... }`).

Every filler is a function (parameters, shape) -> values; random ones draw from the thread's
stream in memory order, so that a seed gives the weights that Caffe would begin with.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blob import Blob, Shape
from .context import current
from .errors import LayerError
from .proto import minicaffe_pb2 as pb

FloatArray = NDArray[np.float32]


def fill(blob: Blob, param: Any) -> None:
    """Overwrite a blob's data as a FillerParameter says; the type is `constant` by default.

    Raises LayerError for an unknown type and for parameters or shapes that the type refuses.
    """
    filler = FILLERS.get(param.type)
    if filler is None:
        raise LayerError(f"no filler '{param.type}' (there are: {', '.join(sorted(FILLERS))})")
    if param.sparse != -1 and param.type != "gaussian":
        raise LayerError(f"filler '{param.type}' cannot be sparse: only gaussian can")
    if blob.count() == 0:
        raise LayerError(f"filler '{param.type}' has nothing to fill: the shape is {blob.shape}")
    data = blob.data.write("cpu")  # first: there may be no memory for it
    data[...] = filler(param, blob.shape)


def constant(param: Any, shape: Shape) -> FloatArray:
    """`value` (0) everywhere."""
    return np.full(shape, param.value, np.float32)


def uniform(param: Any, shape: Shape) -> FloatArray:
    """Uniform in [`min` (0), `max` (1)]."""
    if not param.min <= param.max:
        raise LayerError(f"filler 'uniform' needs min <= max, not {param.min:g} and {param.max:g}")
    return current().rng.uniform(math.prod(shape), param.min, param.max).reshape(shape)


def gaussian(param: Any, shape: Shape) -> FloatArray:
    """Normal with `mean` (0) and `std` (1); with `sparse` s, about s inputs an output are not 0.

    The outputs of a sparse weight are counted along axis 0, as Caffe does.
    """
    count = math.prod(shape)
    if not param.std > 0:
        raise LayerError(f"filler 'gaussian' needs std > 0, not {param.std:g}")
    values = current().rng.gaussian(count, param.mean, param.std)
    if param.sparse != -1:
        if param.sparse < 0 or not shape or param.sparse > shape[0]:
            raise LayerError(
                f"filler 'gaussian': sparse {param.sparse} needs a shape whose first "
                f"axis is at least as long, the shape is {shape}"
            )
        non_zero = np.float32(param.sparse) / np.float32(shape[0])
        values *= current().rng.bernoulli_float32(count, float(non_zero))
    return values.reshape(shape)


def positive_unitball(param: Any, shape: Shape) -> FloatArray:
    """Uniform in [0, 1), then scaled so that the values of each item of axis 0 sum to 1."""
    values = current().rng.uniform(math.prod(shape), 0, 1)
    rows = values.reshape(shape[0] if shape else 1, -1)
    rows /= np.cumsum(rows, axis=1)[:, -1:]  # summed one by one, as Caffe does
    return values.reshape(shape)


def xavier(param: Any, shape: Shape) -> FloatArray:
    """Uniform in +-sqrt(3 / n), n by `variance_norm` (Glorot and Bengio, 2010)."""
    scale = np.sqrt(np.float32(3) / _fan(param, shape))
    return current().rng.uniform(math.prod(shape), -scale, scale).reshape(shape)


def msra(param: Any, shape: Shape) -> FloatArray:
    """Normal with std sqrt(2 / n), n by `variance_norm` (He, Zhang, Ren and Sun, 2015)."""
    std = np.sqrt(np.float32(2) / _fan(param, shape))
    return current().rng.gaussian(math.prod(shape), 0, float(std)).reshape(shape)


def bilinear(param: Any, shape: Shape) -> FloatArray:
    """Weights of interpolation for a Deconvolution with kernel 2 f - f % 2, stride f.

    With k the kernel's side, f = ceil(k / 2) and c = (k - 1) / (2 f), pixel (y, x) of every
    channel is (1 - |x / f - c|) (1 - |y / f - c|).
    """
    if len(shape) != 4 or shape[2] != shape[3]:
        raise LayerError(
            f"filler 'bilinear' needs 4 axes and a square kernel, the shape is {shape}"
        )
    side = shape[3]
    factor = np.float32(math.ceil(side / 2))
    centre = np.float32((side - 1) / (2.0 * float(factor)))
    slope = 1 - np.abs(np.arange(side, dtype=np.float32) / factor - centre)
    return np.broadcast_to(slope * slope[:, None], shape).astype(np.float32)


def _fan(param: Any, shape: Shape) -> np.float32:
    """n of xavier and msra: inputs (count / axis 0), outputs (count / axis 1) or their mean."""
    count = math.prod(shape)
    fan_in = count // shape[0] if shape else count
    fan_out = count // shape[1] if len(shape) > 1 else count
    if param.variance_norm == pb.FillerParameter.AVERAGE:
        return np.float32((fan_in + fan_out) / 2.0)
    return np.float32(fan_out if param.variance_norm == pb.FillerParameter.FAN_OUT else fan_in)


FILLERS: dict[str, Callable[[Any, Shape], FloatArray]] = {
    "constant": constant,
    "uniform": uniform,
    "gaussian": gaussian,
    "positive_unitball": positive_unitball,
    "xavier": xavier,
    "msra": msra,
    "bilinear": bilinear,
}
