"""ONNX nodes of the layers that work element by element, on one bottom or on several."""

from __future__ import annotations

from minicaffe.proto import minicaffe_pb2 as pb

from .graph import FLOAT, Graph, Step


def abs_val(graph: Graph, step: Step) -> list[str]:
    """|x|."""
    return [graph.add("Abs", step.bottom)]


def bnll(graph: Graph, step: Step) -> list[str]:
    """log(1 + exp x)."""
    return [graph.add("Softplus", step.bottom)]


def clip(graph: Graph, step: Step) -> list[str]:
    """x between two bounds."""
    low, high = step.layer.scalars
    return [graph.add("Clip", step.bottom, graph.constant(low), graph.constant(high))]


def dropout(graph: Graph, step: Step) -> list[str]:
    """Nothing, in phase TEST."""
    if step.layer.phase == pb.TRAIN:
        raise step.layer.error("drops at random in phase TRAIN: export the net of phase TEST")
    return [step.bottom]


def elu(graph: Graph, step: Step) -> list[str]:
    """x or alpha (exp x - 1)."""
    return [graph.add("Elu", step.bottom, alpha=step.layer.param.elu_param.alpha)]


def exp(graph: Graph, step: Step) -> list[str]:
    """outer exp(inner x)."""
    inner, outer = step.layer.scalars
    power = graph.add("Exp", graph.affine(step.bottom, inner, 0))
    return [graph.affine(power, outer, 0)]


def log(graph: Graph, step: Step) -> list[str]:
    """factor log(scale x + shift)."""
    scale, shift, factor = step.layer.scalars
    return [graph.affine(graph.add("Log", graph.affine(step.bottom, scale, shift)), factor, 0)]


def power(graph: Graph, step: Step) -> list[str]:
    """(scale x + shift)^power."""
    scale, shift, *_ = step.layer.scalars
    value = graph.affine(step.bottom, scale, shift)
    if step.layer.function == "square":
        value = graph.add("Mul", value, value)
    elif step.layer.function == "power":
        value = graph.add("Pow", value, graph.constant(step.layer.scalars[2]))
    return [value]


def prelu(graph: Graph, step: Step) -> list[str]:
    """x or slope x, a slope a channel or one for all."""
    slope = step.layer.blobs[0]
    shape = (slope.count(), *(1,) * (len(step.shape) - 2))
    return [graph.add("PRelu", step.bottom, graph.parameter(slope, shape))]


def relu(graph: Graph, step: Step) -> list[str]:
    """x or negative_slope x."""
    slope = step.layer.negative_slope
    if slope == 0:
        return [graph.add("Relu", step.bottom)]
    return [graph.add("LeakyRelu", step.bottom, alpha=slope)]


def sigmoid(graph: Graph, step: Step) -> list[str]:
    """1 / (1 + exp(-x))."""
    return [graph.add("Sigmoid", step.bottom)]


def swish(graph: Graph, step: Step) -> list[str]:
    """x sigmoid(beta x)."""
    (beta,) = step.layer.scalars
    return [graph.add("Mul", step.bottom, graph.add("Sigmoid", graph.affine(step.bottom, beta, 0)))]


def tanh(graph: Graph, step: Step) -> list[str]:
    """tanh x."""
    return [graph.add("Tanh", step.bottom)]


def threshold(graph: Graph, step: Step) -> list[str]:
    """1 above the threshold, 0 elsewhere."""
    limit = graph.constant(step.layer.param.threshold_param.threshold)
    return [graph.add("Cast", graph.add("Greater", step.bottom, limit), to=FLOAT)]


def bias(graph: Graph, step: Step) -> list[str]:
    """x + b, b broadcast from an axis on."""
    return [graph.add("Add", step.bottom, _operand(graph, step))]


def scale(graph: Graph, step: Step) -> list[str]:
    """s x + b, s and b broadcast from an axis on."""
    value = graph.add("Mul", step.bottom, _operand(graph, step))
    if step.layer.bias_term:
        value = graph.add("Add", value, graph.parameter(step.layer.blobs[-1], _spread(step)))
    return [value]


def _operand(graph: Graph, step: Step) -> str:
    """The second bottom or the first parameter, with the axes that broadcasting wants."""
    if len(step.bottoms) == 2:
        return graph.reshape(step.bottoms[1], step.shapes[1], _spread(step))
    return graph.parameter(step.layer.blobs[0], _spread(step))


def _spread(step: Step) -> tuple[int, ...]:
    """The operand's shape, and ones for the axes of the bottom after it."""
    shape = step.shapes[1] if len(step.bottoms) == 2 else step.layer.blobs[0].shape
    axis = step.layer.first_axis if shape else 0
    first = axis + len(step.shape) if axis < 0 else axis
    return shape + (1,) * (len(step.shape) - first - len(shape))


def eltwise(graph: Graph, step: Step) -> list[str]:
    """Sum with coefficients, product, or maximum."""
    kind = pb.EltwiseParameter
    if step.layer.operation == kind.MAX:
        return [graph.add("Max", *step.bottoms)]
    if step.layer.operation == kind.SUM:
        pairs = zip(step.bottoms, step.layer.coeff, strict=True)
        return [graph.add("Sum", *(graph.affine(name, coeff, 0) for name, coeff in pairs))]
    value, *others = step.bottoms
    for other in others:
        value = graph.add("Mul", value, other)
    return [value]


def lstm_unit(graph: Graph, step: Step) -> list[str]:
    """c = cont σ(f) c_prev + σ(i) tanh(g) and h = σ(o) tanh(c), from gates [i, f, o, g]."""
    previous, gates, cont = step.bottoms
    i, f, o, g = graph.add_many("Split", gates, outputs=4, axis=2)
    cont = graph.reshape(cont, step.shapes[2], (*step.shapes[2], 1))
    kept = graph.add("Mul", graph.add("Mul", graph.add("Sigmoid", f), cont), previous)
    new = graph.add("Mul", graph.add("Sigmoid", i), graph.add("Tanh", g))
    state = graph.add("Add", kept, new)
    return [state, graph.add("Mul", graph.add("Sigmoid", o), graph.add("Tanh", state))]
