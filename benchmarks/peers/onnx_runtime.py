"""ONNX Runtime on the CPU: forward only, the whole net as one optimised graph.

Inputs and outputs are bound to memory once, so that a call copies and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from minicaffe.net import Net
from minicaffe.proto import minicaffe_pb2 as pb

from ..cases import FORWARD, Arrays, Case, Unsupported
from . import Peer, Work, graph

OPSET = 20


def describe(peer: Peer) -> str:
    """The version; all of its optimisations are on by default."""
    return f"onnxruntime {onnxruntime.__version__}"


def prepare(case: Case, arrays: Arrays, peer: Peer, threads: int) -> Work:
    """The net as an ONNX model in a session of so many threads."""
    if case.work != FORWARD:
        raise Unsupported("onnxruntime does inference only")
    return OnnxWork(case, arrays, threads)


class OnnxWork(Work):
    """A case as a session with everything bound."""

    def __init__(self, case: Case, arrays: Arrays, threads: int) -> None:
        net = case.param()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        tops = output_shapes(net)
        model = Translator(net, arrays).model(tops)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        for name, _ in graph.input_shapes(net):
            binding.bind_cpu_input(name, arrays[f"input/{name}"])
        self.tops = {}
        for name, shape in tops.items():
            self.tops[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
            binding.bind_ortvalue_output(name, self.tops[name])
        self.call = lambda: session.run_with_iobinding(binding)

    def results(self) -> Arrays:
        """The outputs."""
        self.call()
        return {name: np.array(value.numpy()) for name, value in self.tops.items()}


def output_shapes(net: pb.NetParameter) -> dict[str, tuple[int, ...]]:
    """The outputs' shapes, from minicaffe."""
    built = Net(net, device="reference")
    return {name: built.blob_dict[name].shape for name in graph.outputs(net)}


class Translator:
    """Writes a net's layers as ONNX nodes. Blobs written in place get a name for each version."""

    def __init__(self, net: pb.NetParameter, arrays: Arrays) -> None:
        self.net, self.arrays = net, arrays
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.names = {name: name for name, _ in graph.input_shapes(net)}
        self.versions = 0

    def model(self, tops: dict[str, tuple[int, ...]]) -> Any:
        """The ONNX model with outputs of these shapes."""
        for step in graph.steps(self.net):
            translate = TRANSLATIONS.get(step.layer.type)
            if translate is None:
                raise Unsupported(f"no translation of {step.layer.type}")
            bottoms = [self.names[name] for name in step.bottoms]
            self.versions += 1
            made = f"{step.top}_{self.versions}"
            translate(self, step, bottoms, made)
            self.names[step.top] = made
        for name in tops:
            self.node("Identity", [self.names[name]], name)
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in graph.input_shapes(self.net)
        ]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in tops.items()
        ]
        made_graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.weights)
        model = helper.make_model(made_graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 10
        onnx.checker.check_model(model)
        return model

    def node(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Append an operation."""
        self.nodes.append(helper.make_node(operation, inputs, [output], **attributes))

    def weight(self, name: str, values: np.ndarray) -> str:
        """Add a constant; its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def parameter(self, layer: Any, index: int) -> np.ndarray:
        """A parameter's values."""
        return self.arrays[f"param/{layer.name}/{index}"]

    def parameters(self, layer: Any, count: int) -> list[str]:
        """The first parameters of a layer, as constants."""
        keys = [f"param/{layer.name}/{index}" for index in range(count)]
        return [self.weight(key, self.arrays[key]) for key in keys]


def convolution(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    param = step.layer.convolution_param
    pad = graph.window(param, "pad", 0)
    t.node(
        "Conv", [*bottoms, *t.parameters(step.layer, 1 + param.bias_term)], top, group=param.group,
        strides=graph.window(param, "stride", 1), pads=pad * 2,
    )  # fmt: skip


def inner_product(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    bias = step.layer.inner_product_param.bias_term
    t.node("Flatten", bottoms, f"{top}_flat")
    t.node("Gemm", [f"{top}_flat", *t.parameters(step.layer, 1 + bias)], top, transB=1)


def pooling(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    param = step.layer.pooling_param
    pad = graph.window(param, "pad", 0)
    most = param.pool == pb.PoolingParameter.MAX
    kernel = graph.window(param, "kernel_size", 0)
    counted = {} if most else {"count_include_pad": int(any(pad))}
    t.node(
        "MaxPool" if most else "AveragePool", bottoms, top, ceil_mode=1, kernel_shape=kernel,
        strides=graph.window(param, "stride", 1), pads=pad * 2, **counted,
    )  # fmt: skip


def lrn(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    param = graph.across_channels(step.layer)
    t.node(
        "LRN", bottoms, top, size=param.local_size, alpha=param.alpha, beta=param.beta, bias=param.k
    )


def batch_norm(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    layer, scale = step.layer, step.scale
    if t.net.state.phase != pb.TEST:
        raise Unsupported("BatchNorm by the batch's statistics")
    factor = t.parameter(layer, 2)
    mean, variance = t.parameter(layer, 0) / factor, t.parameter(layer, 1) / factor
    weight, bias = np.ones_like(mean), np.zeros_like(mean)
    if scale is not None:
        weight = t.parameter(scale, 0)
        bias = t.parameter(scale, 1) if scale.scale_param.bias_term else bias
    values = {"scale": weight, "bias": bias, "mean": mean, "variance": variance}
    names = [t.weight(f"{layer.name}/{what}", each) for what, each in values.items()]
    t.node("BatchNormalization", [*bottoms, *names], top, epsilon=layer.batch_norm_param.eps)


def scale(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    layer = step.layer
    biased = layer.scale_param.bias_term
    column = (-1, 1, 1)
    factor = t.weight(f"{layer.name}/factor", t.parameter(layer, 0).reshape(column))
    t.node("Mul", [*bottoms, factor], f"{top}_scaled" if biased else top)
    if biased:
        shift = t.weight(f"{layer.name}/shift", t.parameter(layer, 1).reshape(column))
        t.node("Add", [f"{top}_scaled", shift], top)


def relu(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    slope = step.layer.relu_param.negative_slope
    if slope:
        t.node("LeakyRelu", bottoms, top, alpha=slope)
    else:
        t.node("Relu", bottoms, top)


def prelu(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    slopes = t.parameter(step.layer, 0).reshape(-1, 1, 1)
    t.node("PRelu", [*bottoms, t.weight(f"{step.layer.name}/slopes", slopes)], top)


def dropout(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    if t.net.state.phase != pb.TEST:
        raise Unsupported("Dropout in training")
    t.node("Identity", bottoms, top)


def eltwise(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
    operation = {
        pb.EltwiseParameter.SUM: "Add",
        pb.EltwiseParameter.PROD: "Mul",
        pb.EltwiseParameter.MAX: "Max",
    }[step.layer.eltwise_param.operation]
    t.node(operation, bottoms, top)


def plain(operation: str, **attributes: Any) -> Callable[..., None]:
    """A layer that is one operation without parameters; attributes are read by functions."""

    def translate(t: Translator, step: graph.Step, bottoms: list[str], top: str) -> None:
        values = {name: read(step.layer) for name, read in attributes.items()}
        t.node(operation, bottoms, top, **values)

    return translate


TRANSLATIONS: dict[str, Callable[..., None]] = {
    "BatchNorm": batch_norm,
    "Concat": plain("Concat", axis=lambda layer: layer.concat_param.axis),
    "Convolution": convolution,
    "Dropout": dropout,
    "ELU": plain("Elu", alpha=lambda layer: layer.elu_param.alpha),
    "Eltwise": eltwise,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "PReLU": prelu,
    "Pooling": pooling,
    "ReLU": relu,
    "Scale": scale,
    "Sigmoid": plain("Sigmoid"),
    "Softmax": plain("Softmax", axis=lambda layer: layer.softmax_param.axis),
    "TanH": plain("Tanh"),
}
