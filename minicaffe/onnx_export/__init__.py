"""Nets as ONNX models: `to_onnx(net)` gives the model, `compare(net, model)` runs both.

One function writes the nodes of a layer type; it is found by name, `inner_product` for type
InnerProduct, in the modules of `FAMILIES`. To support another type, add a function.

The model has opset 13 and IR version 7 (ONNX 1.8, 2020), which every runtime since then reads, and
uses the standard operators alone. Its inputs are the net's, with the shapes that they have in the
net; its outputs are the net's outputs, under the names of their blobs.
"""

from .check import Difference, compare
from .convert import FAMILIES, IR_VERSION, OPSET, supported_types, to_onnx

__all__ = [
    "FAMILIES",
    "IR_VERSION",
    "OPSET",
    "Difference",
    "compare",
    "supported_types",
    "to_onnx",
]
