"""Nets with chains of layers that run as one, and what is compared of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import minicaffe
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

Array = NDArray[np.float32]

SHAPE = "input_param { shape { dim: 3 dim: 4 dim: 5 dim: 7 } }"
INPUT = f'layer {{ name: "data" type: "Input" top: "data" {SHAPE} }}'
FILLER = 'filler { type: "uniform" min: 0.5 max: 2 }'
BIAS = 'bias_term: true bias_filler { type: "uniform" min: -1 max: 1 }'


def layer(kind: str, bottom: str, top: str, text: str = "", name: str = "") -> str:
    tops = " ".join(f'top: "{each}"' for each in top.split())
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    name = name or f"{top.split()[0]}_{kind.lower()}"
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {text} }}'


def convolution(bottom: str, top: str, text: str = "") -> str:
    return layer(
        "Convolution", bottom, top, "convolution_param { num_output: 4 kernel_size: 3 pad: 1 "
        f'bias_term: false weight_filler {{ type: "xavier" }} }} {text}',
    )  # fmt: skip


def norm(bottom: str, top: str, text: str = "") -> str:
    return layer("BatchNorm", bottom, top, f"batch_norm_param {{ {text} }}")


def scale(blob: str, text: str = BIAS, more: str = "") -> str:
    return layer("Scale", blob, blob, f"scale_param {{ {FILLER} {text} }} {more}")


def relu(blob: str, slope: float = 0) -> str:
    return layer("ReLU", blob, blob, f"relu_param {{ negative_slope: {slope} }}")


def loss(bottom: str) -> str:
    score = layer("InnerProduct", bottom, "score", "inner_product_param { num_output: 3 "
                  'weight_filler { type: "xavier" } }')  # fmt: skip
    square = layer("Reduction", "score", "loss", "reduction_param { operation: SUMSQ coeff: 0.1 } "
                   "loss_weight: 1")  # fmt: skip
    return f"{score} {square}"


BLOCK = [
    INPUT,
    convolution("data", "a"), norm("a", "a"), scale("a"), relu("a"),
    convolution("a", "b"), norm("b", "b"), scale("b"), relu("b"),
    convolution("b", "c"), norm("c", "c"), scale("c"),
    layer("Eltwise", "a c", "d"), relu("d"),
    convolution("d", "e"), norm("e", "e"),
    layer("Eltwise", "d e", "f"), relu("f"),
    loss("f"),
]  # fmt: skip


def chain(*layers: str, before: str = "") -> list[str]:
    """A convolution, what is given, a loss of `a`."""
    return [INPUT, before or convolution("data", "a"), *layers, loss("a")]


SUM = [INPUT, convolution("data", "b"), convolution("data", "c"), layer("Eltwise", "b c", "a")]
GIVEN = "use_global_stats: true"
CHAINS = {
    "three": chain(norm("a", "a"), scale("a"), relu("a")),
    "no bias": chain(norm("a", "a"), scale("a", ""), relu("a")),
    "a slope": chain(norm("a", "a"), scale("a"), relu("a", 0.1)),
    "a slope above 1": chain(norm("a", "a"), scale("a"), relu("a", 1.5)),
    "without ReLU": chain(norm("a", "a"), scale("a")),
    "without Scale": chain(norm("a", "a"), relu("a")),
    "eps, fraction": chain(norm("a", "a", "eps: 0.1 moving_average_fraction: 0.5"), scale("a")),
    "given": chain(norm("a", "a", GIVEN), scale("a"), relu("a")),
    "given, without ReLU": chain(norm("a", "a", GIVEN), scale("a")),
    "given, without Scale": chain(norm("a", "a", GIVEN), relu("a")),
    "not in place": chain(norm("x", "a"), scale("a"), relu("a"), before=convolution("data", "x")),
    "given, not in place": chain(
        norm("x", "a", GIVEN), scale("a"), relu("a"), before=convolution("data", "x")
    ),
    "frozen scale": chain(
        norm("a", "a"), scale("a", more="param { lr_mult: 0 } param { lr_mult: 1 }"), relu("a")
    ),
    "frozen bias": chain(
        norm("a", "a"), scale("a", more="param { lr_mult: 1 } param { lr_mult: 0 }"), relu("a")
    ),
    "nothing below learns": chain(norm("data", "a"), scale("a"), relu("a"), before=" "),
    "a sum": [*SUM, relu("a"), loss("a")],
    "a sum with a slope": [*SUM, relu("a", 0.3), loss("a")],
    "a sum that two read": [
        *SUM, relu("a"), layer("Power", "a", "d"), layer("Eltwise", "a d", "e"), loss("e")
    ],
    "a sum that three read": [
        *SUM, relu("a"), layer("Power", "a", "d"), layer("Eltwise", "a a d", "e"), loss("e")
    ],
    "a sum with coefficients": [
        *SUM[:-1],
        layer("Eltwise", "b c", "a", "eltwise_param { coeff: 0.5 coeff: -2 }"), relu("a"),
        layer("Eltwise", "a b", "d"), layer("Eltwise", "a d", "e"), loss("e"),
    ],
    "one bottom needs no gradient": [
        INPUT, convolution("data", "b"), layer("Eltwise", "b data", "a"), relu("a"), loss("a")
    ],
}  # fmt: skip

UNFIT = {
    "a scale for each number": chain(norm("a", "a"), scale("a", "axis: 1 num_axes: 3"), relu("a")),
    "a single scale": chain(norm("a", "a"), scale("a", "num_axes: 0"), relu("a")),
    "one number a channel": chain(
        norm("a", "a"), scale("a"), relu("a"),
        before=layer("InnerProduct", "data", "a", "inner_product_param { num_output: 5 "
                     'weight_filler { type: "xavier" } }'),
    ),
    "a product": [*SUM[:-1], layer("Eltwise", "b c", "a", "eltwise_param { operation: PROD }"),
                  relu("a"), loss("a")],
    "a sum of three": [*SUM[:-1], layer("Eltwise", "b c data", "a"), relu("a"), loss("a")],
    "a sum in place": [*SUM[:-1], layer("Eltwise", "b c", "b", name="sum"), relu("b"), loss("b")],
}  # fmt: skip


def parsed(layers: list[str], phase: int = minicaffe.TRAIN) -> pb.NetParameter:
    param = parse_text("\n".join(layers), pb.NetParameter())
    param.state.phase = phase  # type: ignore[assignment]
    return param


def numbers(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2 + 1


def make_solver(param: pb.NetParameter, *, fuse: bool, **more: Any) -> Solver:
    solver_param = pb.SolverParameter(
        type="SGD", base_lr=0.01, lr_policy="fixed", momentum=0.9, weight_decay=0.01,
        max_iter=100, random_seed=5, **more,
    )  # fmt: skip
    solver_param.net_param.CopyFrom(param)
    solver = create_solver(solver_param, device="cpu", fuse=fuse)
    for index, blob in enumerate(solver.net.input_blobs):
        if len(blob.shape) > 1:  # not labels
            blob.data[...] = numbers(index, blob.shape)
    for index, each in enumerate(solver.net.layers):  # statistics that are not 0
        if each.type == "BatchNorm":
            each.blobs[0].data[...] = numbers(index, each.blobs[0].shape)
            each.blobs[1].data[...] = 1 + numbers(index, each.blobs[1].shape) ** 2
            each.blobs[2].data[...] = 1.5
    return solver


def contents(net: Net) -> dict[str, Array]:
    """Everything that a net holds, by name."""
    found = {}
    for name, blob in net.blob_dict.items():
        found[f"{name} data"], found[f"{name} diff"] = blob.data.copy(), blob.diff.copy()
    for name, each in zip(net.layer_names, net.layers, strict=True):
        for index, blob in enumerate(each.blobs):
            found[f"{name}/{index} data"] = blob.data.copy()
            found[f"{name}/{index} diff"] = blob.diff.copy()
    return found


def assert_same(one: dict[str, Array], other: dict[str, Array], error: float = 5e-6) -> None:
    """Within an error of the largest value of an array; of several passes, by default."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        largest = max(np.abs(values).max(initial=0), 1e-3)
        np.testing.assert_allclose(other[name], values, rtol=0, atol=error * largest, err_msg=name)


def groups(net: Net) -> list[list[str]]:
    return [[node.layer.type for node in group.nodes] for group in net.groups]
