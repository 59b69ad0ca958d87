"""Task layer: the example in its docstring runs, its gradient is right, and it says who it is."""

from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.errors import Error
from minicaffe.labs.plugin import close, gradient
from minicaffe.layer import layer_class
from minicaffe.layer_example import example_net
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

NET = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
layer {{ name: "y" type: "RMSNorm" bottom: "x" top: "{top}" mvn_param {{ eps: {eps} }} }}
"""


def net(shape: tuple[int, ...], eps: float = 0.25, top: str = "y") -> Net:
    """A net of an Input and the layer, on the device reference."""
    dims = " ".join(f"dim: {each}" for each in shape)
    text = NET.format(dims=dims, eps=eps, top=top)
    return Net(parse_text(text, pb.NetParameter()), minicaffe.TRAIN, device="reference")


def passes(given: Net, x: Any, dy: Any) -> tuple[Any, Any]:
    """y and dx."""
    (bottom,), (top,) = given.input_blobs, given.output_blobs
    bottom.data[...] = x
    given.forward_pass()
    y = np.array(top.data)
    top.diff[...] = dy
    given.backward_pass()
    return y, np.array(bottom.diff)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4, 2)])
def test_forward(rng: Any, shape: tuple[int, ...]) -> None:
    """The mean is over all of a sample, whatever axes it has."""
    x = rng.standard_normal(shape).astype(np.float32)
    y, _ = passes(net(shape), x, 0)
    axes = tuple(range(1, len(shape)))
    expected = x / np.sqrt((x * x).mean(axes, keepdims=True) + 0.25)
    close("y", y, expected, f"x {shape}, eps 0.25")


def test_gradient(rng: Any) -> None:
    """dx of the layer against differences of its forward."""
    shape, step = (2, 3, 2), 1e-2
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    layer = net(shape)
    _, dx = passes(layer, x, dy)
    numeric = np.zeros(shape)
    for index in np.ndindex(shape):
        sums = []
        for sign in (1, -1):
            there = x.copy()
            there[index] += sign * step
            sums.append(float((passes(layer, there, dy)[0] * dy).sum(dtype=np.float64)))
        numeric[index] = (sums[0] - sums[1]) / (2 * step)
    gradient("dx", dx, numeric, f"x {shape}, eps 0.25", atol=5e-3)


def test_in_place(rng: Any) -> None:
    """A top that is the bottom too gives the same, or is refused by `in_place = False`."""
    x, dy = rng.standard_normal((2, 3, 5)).astype(np.float32)
    y, dx = passes(net((3, 5)), x, dy)
    try:
        both = net((3, 5), top="x")
    except Error as error:
        assert "in place" in str(error), f"top and bottom are one blob: {error}"
        return
    found = passes(both, x, dy)
    close("y", found[0], y, "top and bottom are one blob")
    close("dx", found[1], dx, "top and bottom are one blob")


def test_the_shape_may_change(rng: Any) -> None:
    """More samples than before: reshape is called before every forward."""
    layer = net((2, 5))
    layer.input_blobs[0].reshape((4, 5))
    layer.propagate_shapes()
    x = rng.standard_normal((4, 5)).astype(np.float32)
    y, _ = passes(layer, x, 0)
    expected = x / np.sqrt((x * x).mean(1, keepdims=True) + 0.25)
    close("y", y, expected, "x (2, 5), then (4, 5)")


def test_docstring() -> None:
    """What it is, formulas, the parameter, shapes, and an example that runs."""
    doc = layer_class("RMSNorm").__doc__ or ""
    types = [each.type for each in example_net("RMSNorm").layer]
    assert "RMSNorm" in types, f"the docstring's example has the layers {types}: where is RMSNorm?"
    wanted = {
        "y = ": "the formula of y",
        "dx = ": "the formula of dx",
        "eps": "its parameter",
        "shape": "the shapes of bottom and top",
    }
    for word, what in wanted.items():
        assert word in doc, f"the docstring has no '{word}': {what}"
    built = Net(example_net("RMSNorm"), minicaffe.TRAIN, device="reference")
    built.forward_pass()


def test_one_axis_is_refused() -> None:
    """A sentence of the layer's own, with its name, not an error of NumPy's."""
    said = "none"
    try:
        net((4,))
    except Error as error:
        said = str(error)
    assert said.startswith("layer 'y' (RMSNorm)") and ("axes" in said or "axis" in said), (
        "a bottom of shape (4) has no axis to take a mean over: raise self.error(...) that says so"
        f" and gives the shape; the error was: {said}"
    )
