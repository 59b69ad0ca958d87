"""Every layer's docstring example runs; its gradients are right; the devices agree on it."""

from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.layer import known_types, layer_class
from minicaffe.layer_example import example_net, needs_files
from minicaffe.net.net import Net
from tests.conftest import DEVICES

FROM_FILES = {name for name in known_types() if needs_files(name)}
DATA_LAYERS = FROM_FILES | {"DummyData"}
NO_GRADIENT = DATA_LAYERS | {"Accuracy", "ArgMax", "Threshold", "Input", "Silence"}
INTEGER_INPUTS = ("label", "index", "selector", "similar")
STEP = 1e-2


def build(layer_type: str, device: str) -> Net:
    """The example's net with fixed inputs and parameters, every blob asking for its gradient."""
    context.set_random_seed(7)
    param = example_net(layer_type)
    param.force_backward = layer_type not in NO_GRADIENT
    net = Net(param, minicaffe.TRAIN, device=device)
    rng = np.random.default_rng(11)
    for name, blob in zip(net.input_names, net.input_blobs, strict=True):
        blob.data[...] = inputs_for(layer_type, name, blob.shape, rng)
    for blob in net.flat_params.blobs:
        if not blob.data.any():
            blob.data[...] = rng.uniform(0.1, 0.5, blob.shape)
    net.propagate_shapes()  # the tops of Filter are as long as its selector's values say
    return net


def inputs_for(layer_type: str, name: str, shape: Any, rng: Any) -> Any:
    """Distinct values that stay away from kinks; integers for labels, probabilities, 0/1 marks."""
    if any(name.startswith(word) for word in INTEGER_INPUTS):
        return rng.integers(0, 2, shape)
    if name.startswith("cont"):
        return (np.arange(np.prod(shape)).reshape(shape) >= shape[-1]).astype(np.float32)
    count = int(np.prod(shape))
    values = (rng.permutation(count) + 0.5) / count * 2 - 1  # in (-1, 1), all distinct
    if layer_type in ("MultinomialLogisticLoss", "Log", "SigmoidCrossEntropyLoss"):
        return (values.reshape(shape) + 1.2) / 2.4
    return np.where(np.abs(values) < 0.05, 0.1 * np.sign(values) + values, values).reshape(shape)


def top_weights(net: Net) -> list[Any]:
    """Fixed gradients to put on the outputs; what they weigh is the scalar to differentiate."""
    rng = np.random.default_rng(13)
    return [rng.uniform(0.5, 1.5, blob.shape).astype(np.float32) for blob in net.output_blobs]


def objective(net: Net, weights: list[Any]) -> float:
    """The outputs weighed and summed, from the same random numbers and state each time."""
    context.set_random_seed(7)
    net.forward_pass()
    return sum(
        float(np.vdot(np.float64(weight), np.float64(np.asarray(blob.data))))
        for blob, weight in zip(net.output_blobs, weights, strict=True)
    )


def backward(net: Net, weights: list[Any]) -> None:
    for blob, weight in zip(net.output_blobs, weights, strict=True):
        blob.diff[...] = weight
    net.clear_param_diffs()
    net.backward_pass()


def differentiable_blobs(net: Net, layer_type: str) -> dict[str, Any]:
    """The inputs and parameters that get a gradient, and what to call them."""
    inputs = {
        f"bottom {name}": blob
        for name, blob in zip(net.input_names, net.input_blobs, strict=True)
        if not any(name.startswith(word) for word in (*INTEGER_INPUTS, "cont", "gain"))
    }
    learn = {
        f"parameter {index}": blob
        for index, (blob, rate) in enumerate(
            zip(net.flat_params.blobs, net.flat_params.lr_mults, strict=True)
        )
        if rate != 0
    }
    return inputs | learn


def results(layer_type: str, device: str) -> dict[str, Any]:
    """The tops and the gradients on a device, and what to call them."""
    net = build(layer_type, device)
    weights = top_weights(net)
    objective(net, weights)
    tops = zip(net.output_names, net.output_blobs, strict=True)
    values = {f"top {name}": np.array(blob.data, copy=True) for name, blob in tops}
    if layer_type in NO_GRADIENT:
        return values
    backward(net, weights)
    blobs = differentiable_blobs(net, layer_type).items()
    return values | {f"gradient of {name}": np.array(b.diff, copy=True) for name, b in blobs}


@pytest.mark.parametrize("layer_type", sorted(set(known_types()) - NO_GRADIENT))
def test_gradient(layer_type: str) -> None:
    """Backward agrees with central differences (reference device, up to 12 elements a blob)."""
    net = build(layer_type, "reference")
    weights = top_weights(net)
    objective(net, weights)
    backward(net, weights)
    rng = np.random.default_rng(17)
    for name, blob in differentiable_blobs(net, layer_type).items():
        analytic = np.array(blob.diff, copy=True).ravel()
        flat = blob.data.host().reshape(-1)
        for index in rng.permutation(flat.size)[:12]:
            kept = flat[index]
            flat[index] = kept + STEP
            above = objective(net, weights)
            flat[index] = kept - STEP
            below = objective(net, weights)
            flat[index] = kept
            numeric = (above - below) / (2 * STEP)
            scale = max(abs(numeric), abs(analytic[index]), 1.0)
            assert abs(numeric - analytic[index]) <= 2e-2 * scale, (
                f"{layer_type} on reference: the gradient of {name} is {analytic[index]:.4g} by "
                f"backward and {numeric:.4g} by differences of forward, at element {index}"
            )


@pytest.mark.parametrize("layer_type", sorted(set(known_types()) - DATA_LAYERS))
def test_devices_agree(layer_type: str) -> None:
    """Every device gives what the reference device gives, forward and backward."""
    expected = results(layer_type, "reference")
    for device in DEVICES:
        for name, actual in results(layer_type, device).items():
            said = f"{layer_type}: {name} on {device} is not that on reference"
            np.testing.assert_allclose(
                actual, expected[name], rtol=1e-4, atol=1e-5, err_msg=said, verbose=False
            )


def test_which_examples_need_files() -> None:
    """Every data layer's does but DummyData's; none that has a kernel to be tested here does."""
    fed = {"CoSData", "Data", "HDF5Data", "ImageData", "MemoryData", "WindowData"}
    assert fed | {"HDF5Output"} == FROM_FILES


@pytest.mark.parametrize("layer_type", sorted(known_types()))
def test_the_docstring_shows_the_layer(layer_type: str) -> None:
    """The example holds a layer of the type that it documents."""
    assert layer_type in [layer.type for layer in example_net(layer_type).layer]
    assert layer_class(layer_type).__doc__
