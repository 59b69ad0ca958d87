"""NaN, infinity and -0 in a layer's inputs and gradients: every device has them as `reference`."""

from typing import Any

import numpy as np
import pytest

from minicaffe.layer import known_types
from minicaffe.net.net import Net
from tests.conftest import DEVICES
from tests.layers.test_layer_docstrings import (
    DATA_LAYERS,
    INTEGER_INPUTS,
    NO_GRADIENT,
    backward,
    build,
    differentiable_blobs,
    objective,
    top_weights,
)
from tests.one_layer import OneLayer

WITH_TANH = ("TanH", "LSTM", "LSTMUnit", "RNN")  # tanh(-0) is 0 in kernels (docs/differences.md)
PADDED = ("Convolution", "Deconvolution")  # infinity times the 0 beside an image, or left out
VALUES = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "-0": -0.0}


def put_in(net: Net, value: float) -> None:
    """One element in five of each input of real numbers becomes the value."""
    for name, blob in zip(net.input_names, net.input_blobs, strict=True):
        if not any(name.startswith(word) for word in (*INTEGER_INPUTS, "cont")):
            array = np.array(blob.data)
            array.reshape(-1)[1::5] = value
            blob.data[...] = array


def seen_of(layer_type: str, device: str, value: float) -> tuple[list[Any], list[Any]]:
    """The tops, and the gradients of all that has one."""
    net = build(layer_type, device)
    weights = top_weights(net)
    put_in(net, value)
    objective(net, weights)
    tops = [np.array(blob.data, copy=True) for blob in net.output_blobs]
    if layer_type in NO_GRADIENT:
        return tops, []
    for weight in weights:
        weight.reshape(-1)[2::7] = value
    backward(net, weights)
    blobs = differentiable_blobs(net, layer_type).values()
    return tops, [np.array(blob.diff, copy=True) for blob in blobs]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("layer_type", sorted(set(known_types()) - DATA_LAYERS))
def test_devices_agree(layer_type: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On which elements are NaN, which infinite, and on the sign of zeros in tops."""
    monkeypatch.setenv("MINICAFFE_WINOGRAD", "off")  # which takes differences of inputs
    (tops, gradients), *others = (seen_of(layer_type, name, VALUES[value]) for name in DEVICES)
    for other_tops, other_gradients in others:
        for one, two in zip(tops + gradients, other_tops + other_gradients, strict=True):
            if layer_type in PADDED and "inf" in value:
                np.testing.assert_array_equal(np.isfinite(two), np.isfinite(one))
                continue
            np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
        if layer_type not in WITH_TANH:
            for one, two in zip(tops, other_tops, strict=True):
                zeros = (one == 0) & (two == 0)
                np.testing.assert_array_equal(np.signbit(two[zeros]), np.signbit(one[zeros]))


NAN, INF = np.nan, np.inf
X = [NAN, INF, -INF, -0.0, -3]


@pytest.mark.parametrize(
    ("text", "values", "slopes"),
    [  # what Caffe's loops give for X, and for a gradient of ones
        ('type: "ReLU"', [NAN, INF, NAN, 0, 0], [0, 1, 0, 0, 0]),
        ('type: "AbsVal"', [NAN, INF, INF, 0, 3], [0, 1, -1, 0, -1]),
        ('type: "Sigmoid"', [NAN, 1, 0, 0.5, 0.0474259], [NAN, 0, 0, 0.25, 0.0451767]),
        ('type: "TanH"', [NAN, 1, -1, 0, -0.9950548], [NAN, 0, 0, 1, 0.0098660]),
        ('type: "Clip" clip_param { min: -2 max: 2 }', [-2, 2, -2, 0, -2], [0, 0, 0, 1, 0]),
        ('type: "Threshold"', [0, 1, 0, 0, 0], None),
    ],
    ids=lambda each: each.split('"')[1] if isinstance(each, str) else "",
)
def test_what_caffe_gives(
    text: str, values: list[float], slopes: list[float] | None, device: str
) -> None:
    one = OneLayer(text, X, device=device)
    np.testing.assert_allclose(one.forward(), values, rtol=1e-5)
    if slopes:
        np.testing.assert_allclose(one.backward(np.ones(5))[0], slopes, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("value", [INF, -INF])
@pytest.mark.parametrize(
    ("region", "shape", "one"),
    [  # k + alpha/n Σ x² where all is 1: of three channels, or of the three of 3 x 3 in one row
        ("ACROSS_CHANNELS", (1, 9, 1, 1), (1 + 0.5) ** -0.75),
        ("WITHIN_CHANNEL", (1, 1, 1, 9), (1 + 0.5 / 3) ** -0.75),
    ],
)
def test_an_infinity_in_lrn(
    region: str, shape: tuple[int, ...], one: float, value: float, device: str
) -> None:
    """x s^-beta: infinity times 0, hence NaN; 0 for its neighbours; nothing beyond the window."""
    x = np.ones(shape, np.float32)
    x.reshape(-1)[3] = value
    lrn = f'type: "LRN" lrn_param {{ norm_region: {region} local_size: 3 alpha: 0.5 }}'
    layer = OneLayer(lrn, x, device=device)
    seen = layer.forward().ravel()
    np.testing.assert_array_equal(seen[2:5], [0, NAN, 0])
    np.testing.assert_allclose(seen[[1, 5, 6, 7]], one, rtol=1e-5)
    # The sum of dy y / s makes NaN of the gradient in the window too.
    slopes = layer.backward(np.ones(shape))[0].ravel()
    np.testing.assert_array_equal(np.isnan(slopes), [0, 0, 1, 1, 1, 0, 0, 0, 0])
