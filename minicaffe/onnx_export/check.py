"""Does an ONNX model compute what its net computes? Both run on random input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import extra

from ..net.net import Net

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """How far an output of the model is from the net's."""

    output: str
    largest: float  # difference of two numbers
    relative: float  # that, by the largest magnitude in the output; inf where only one is NaN


def compare(net: Net, model: Any, seed: int = 0) -> list[Difference]:
    """Run a net and its model (an onnx.ModelProto) in onnxruntime; a Difference for each output.

    Inputs are normal random numbers, or numbers of rows where a layer takes such. The net's input
    and all that follows from it are overwritten. Raises MissingExtra without onnxruntime.
    """
    onnxruntime = extra("onnxruntime", "dev", "comparing a model with its net")
    random = np.random.default_rng(seed)
    inputs = {name: _values(net, name, random) for name in net.input_names}
    for name, values in inputs.items():
        net.blob_dict[name].data.write("cpu")[...] = values
    net.forward_pass()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs = session.run(net.output_names, inputs)
    return [
        _difference(name, np.asarray(net.blob_dict[name].data), given)
        for name, given in zip(net.output_names, outputs, strict=True)
    ]


def _values(net: Net, name: str, random: np.random.Generator) -> F32:
    shape = net.blob_dict[name].shape
    rows = _rows_named_by(net, name)
    if rows:
        return random.integers(0, rows, shape).astype(np.float32)
    return random.standard_normal(shape).astype(np.float32)


def _rows_named_by(net: Net, blob: str) -> int:
    """How many rows the numbers of a blob can name; 0 if they are plain values."""
    names = {blob}
    for node in net.nodes:
        layer, kind = node.layer, type(node.layer)
        for index, name in enumerate(node.bottom_names):
            if name in names and kind.shares:  # the same values under other names
                names.update(node.top_names)
            elif name in names and kind.rows_named(layer, index, node.bottoms):
                return kind.rows_named(layer, index, node.bottoms)
    return 0


def _difference(name: str, wanted: F32, given: F32) -> Difference:
    if wanted.shape != given.shape or np.any(np.isnan(wanted) != np.isnan(given)):
        return Difference(name, np.inf, np.inf)
    with np.errstate(invalid="ignore"):
        apart = np.where(wanted == given, 0, np.abs(np.float64(wanted) - np.float64(given)))
    largest = float(np.nanmax(apart, initial=0))
    size = float(np.nanmax(np.abs(wanted), initial=0, where=np.isfinite(wanted)))
    return Difference(name, largest, largest / size if size else largest)
