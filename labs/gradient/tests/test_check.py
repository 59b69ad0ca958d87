"""check of cli/gradient.py: it names the elements whose gradient is wrong, and no others."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from minicaffe.cli.gradient import check
from minicaffe.labs.gradient.tests.broken import (
    LAYERS,
    Layer,
    checked,
    faulty_layers,
    net_of,
    sound_layers,
)
from minicaffe.labs.plugin import close
from minicaffe.net.net import Net

MUTANTS = 20

LINE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Power" bottom: "x" top: "y" power_param { power: 2 scale: 0.5 } }
"""
KINKS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 6 } } }
layer { name: "y" type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0.25 } }
"""
LARGE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 8 } } }
layer { name: "y" type: "Power" bottom: "x" top: "y" power_param { shift: 300 } }
"""


def named(layer: Layer) -> list[list[int]]:
    """What check says of each blob of a layer's net."""
    net = layer.net()
    return [list(check(net, blob)) for blob in checked(net)]


@pytest.mark.parametrize("kind", LAYERS)
def test_a_sound_layer_is_not_named(kind: str) -> None:
    (layer,) = (layer for layer in sound_layers() if layer.type == kind)
    if any(wrong := named(layer)):
        pytest.fail(
            f"{kind} is sound, and check names elements {wrong} of its inputs and parameters: "
            "is the step too small for float32, or is backward run twice without clearing?"
        )


def test_exactly_the_broken_ones_of_twenty_are_named(rng: np.random.Generator) -> None:
    everyone = list(faulty_layers())
    order = rng.permutation(len(everyone))
    broken = (everyone[n] for n in order if everyone[n][1])
    sound = (everyone[n] for n in order if not everyone[n][1])
    for layer, is_broken in [*islice(broken, MUTANTS - 4), *islice(sound, 4)]:
        if any(named(layer)) != is_broken:
            what = "broken, and check names nothing" if is_broken else "sound, and check names it"
            pytest.fail(f"{layer.type} with `{layer.fault}` in its kernel is {what}")


def stained(net: Net, blob_name: str, index: int, factor: float) -> Net:
    """The net with a layer whose backward gives one element a gradient that is off."""
    node = next(node for node in net.nodes if node.name == "y")
    right = node.layer.backward

    def backward(top: object, propagate_down: object, bottom: object) -> None:
        right(top, propagate_down, bottom)
        net.blob_dict[blob_name].diff.reshape(-1)[index] *= np.float32(factor)

    node.layer.backward = backward
    return net


def test_only_the_elements_that_are_wrong_are_named(rng: np.random.Generator) -> None:
    for index, factor in ((4, 1.5), (0, -1), (5, 0)):
        net = stained(net_of(LINE), "x", index, factor)
        net.blob_dict["x"].data[...] = rng.uniform(2, 3, (2, 3))
        found = list(check(net, net.blob_dict["x"]))
        if found != [index]:
            pytest.fail(
                f"check names {found}, expected [{index}]: element {index} of 6 has {factor:g} "
                "times its gradient"
            )


def test_data_is_left_as_it_was(rng: np.random.Generator) -> None:
    net = net_of(LINE)
    x = net.blob_dict["x"]
    x.data[...] = rng.uniform(-1, 1, x.shape)
    before = np.array(x.data)
    check(net, x)
    close("x after check", x.data, before, "every element must be put back", rtol=0, atol=0)


def test_a_kink_is_no_fault() -> None:
    """ReLU at 0 and next to it: any slope between those of its sides is right there."""
    for slope in (0.25, -1):
        net = net_of(KINKS.replace("0.25", str(slope)))
        x = net.blob_dict["x"]
        x.data[...] = [0, 0.004, -0.004, 0.0005, -0.0005, 1]
        places = ", ".join(f"{value:g}" for value in x.data[...])
        if found := list(check(net, x)):
            pytest.fail(
                f"check names {found} of a sound ReLU with slope {slope:g} at "
                f"{places}: differences across a kink are between the slopes of both sides; "
                "compare those, or take a smaller step"
            )


def test_a_wrong_slope_beside_a_kink_is_found() -> None:
    for index, factor in ((1, 3.0), (5, 0.25), (0, 8.0)):
        net = stained(net_of(KINKS), "x", index, factor)
        x = net.blob_dict["x"]
        x.data[...] = [0, 0.004, -0.004, 0.0005, -0.0005, 1]
        if index not in check(net, x):
            pytest.fail(
                f"check does not name element {index}, x = {float(x.data[index]):g}, whose "
                f"gradient is {factor:g} times ReLU's: a kink excuses only slopes between those of "
                "its sides"
            )


def test_large_outputs_drown_no_difference() -> None:
    """float32 has 7 digits: of outputs of 300 a step of 1e-4 leaves two or three."""
    net = net_of(LARGE)
    x = net.blob_dict["x"]
    x.data[...] = np.linspace(-1, 1, 32).reshape(4, 8)
    if found := list(check(net, x)):
        pytest.fail(
            f"check names {found} of y = x + 300, whose slope is 1: the step is so small that "
            "rounding in float32 is a large part of the difference"
        )
