"""Layers that apply a function to every element, and Dropout and PReLU."""

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.device import load_kernel
from minicaffe.errors import LayerError
from tests.conftest import DEVICES
from tests.device_kernels import kernels_of
from tests.small_nets import backward, forward, small_net

ACTIVATION = {  # what may run in place, with parameters
    "Sigmoid": "",
    "TanH": "",
    "ELU": "elu_param { alpha: 0.5 }",
    "Exp": "exp_param { base: 3 scale: 0.5 shift: 1 }",
    "Swish": "swish_param { beta: 1.5 }",
    "PReLU": "",
    "Dropout": "dropout_param { dropout_ratio: 0.4 }",
}


def layer(kind: str, parameters: str = "", top: str = "y") -> str:
    return f'layer {{ type: "{kind}" name: "L" bottom: "x" top: "{top}" {parameters} }}'


def normal(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("kind", ACTIVATION)
def test_in_place_gives_the_same_values_and_gradients(kind: str, device: str) -> None:
    x, dy = normal(3, 5, 7), normal(3, 5, 7, seed=4)
    results = []
    for top in ("y", "x"):
        context.set_random_seed(5)
        net = small_net(layer(kind, ACTIVATION[kind], top), device, {"x": x})
        y = forward(net, top)
        dx = backward(net, **{top: dy})
        results.append((y, dx, [np.array(blob.diff, copy=True) for blob in net.layers[-1].blobs]))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6, atol=1e-7)
    for apart, in_place in zip(results[0][2], results[1][2], strict=True):
        np.testing.assert_array_equal(apart, in_place)


@pytest.mark.parametrize(
    ("function", "exact"),
    [("exponential", np.exp), ("tanh", np.tanh), ("sigmoid", lambda x: 1 / (1 + np.exp(-x)))],
)
def test_exponentials_are_as_exact_as_float32(function: str, exact: object, device: str) -> None:
    x = np.concatenate([np.linspace(-87, 88, 20001), np.linspace(-1, 1, 20001)]).astype(np.float32)
    y = np.empty_like(x)
    params = (1.0, 1.0) if function == "exponential" else ()
    kernels_of("activation", device).forward(function, x, y, *params)
    # The reference's sigmoid is (1 + tanh(x / 2)) / 2, as in Caffe: absolute, not relative error.
    np.testing.assert_allclose(y, exact(np.float64(x)), rtol=4e-7, atol=6e-8)  # type: ignore


@pytest.mark.parametrize(("function", "exact"), [("tanh", np.tanh), ("elu", np.expm1)])
def test_differences_of_exponentials_keep_their_digits_near_zero(
    function: str, exact: object
) -> None:
    """Relative, where e^x - 1 would cancel."""
    x = -np.geomspace(1e-30, 60, 10007).astype(np.float32)
    y = np.empty_like(x)
    params = (1.0,) if function == "elu" else ()
    load_kernel("activation", "cpu").forward(function, x, y, *params)
    np.testing.assert_allclose(y, exact(np.float64(x)), rtol=3e-7)  # type: ignore


def test_sigmoid_at_the_ends(device: str) -> None:
    x = np.array([-np.inf, -3e38, -90, 90, 3e38, np.inf], np.float32)
    y = np.empty_like(x)
    kernels_of("activation", device).forward("sigmoid", x, y)
    np.testing.assert_allclose(y, [0, 0, 0, 1, 1, 1], atol=1e-37)


def test_exponential_at_the_ends(device: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 88.7, 89.0, -103.0, -104.5, 0.0], np.float32)
    y = np.empty_like(x)
    kernels_of("activation", device).forward("exponential", x, y, 1.0, 1.0)
    denormals = np.finfo(np.float32).tiny if device == "cpu" else 0  # they are 0 in its kernels
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(y, np.exp(x), rtol=1e-6, atol=denormals)


@pytest.mark.parametrize(
    "kind", ["Sigmoid", "TanH", "ELU", "BNLL", "AbsVal", "Power", "Exp", "Swish"]
)
def test_nan_stays_nan(kind: str, device: str) -> None:
    net = small_net(layer(kind), device, {"x": np.array([np.nan, 1, np.nan], np.float32)})
    np.testing.assert_array_equal(np.isnan(forward(net)), [True, False, True])


@pytest.mark.parametrize(
    ("parameters", "value", "slope"),
    [
        ("power: 0", 1, 0),
        ("power: 0 shift: 3", 1, 0),
        ("power: 2 scale: 0 shift: 3", 9, 0),
        ("power: 3", 0, 0),  # at x = 0, where y / x would not be a number
        ("power: 2 shift: 1", 1, 2),
        ("power: 0.5 shift: 4 scale: 8", 2, 2),
        ("scale: -3 shift: 2", 2, -3),
    ],
)
def test_power_at_zero(parameters: str, value: float, slope: float, device: str) -> None:
    x = np.zeros((2, 3), np.float32)
    net = small_net(layer("Power", f"power_param {{ {parameters} }}"), device, {"x": x})
    np.testing.assert_allclose(forward(net), np.full_like(x, value))
    np.testing.assert_allclose(backward(net, y=np.ones_like(x)), np.full_like(x, slope))


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("Exp", "exp_param { base: 0 }", "base must be positive"),
        ("Exp", "exp_param { base: -2 }", "base must be positive"),
        ("Log", "log_param { base: 0 }", "base must be positive"),
        ("Log", "log_param { base: 1 }", "base must be positive and not 1"),
        ("Power", "power_param { power: -1 scale: 0 }", r"not a number: 0\^-1"),
        ("Power", "power_param { power: 0.5 scale: 0 shift: -1 }", r"not a number: -1\^0.5"),
        ("Dropout", "dropout_param { dropout_ratio: 1 }", r"dropout_ratio must be in \[0, 1\)"),
        ("Dropout", "dropout_param { dropout_ratio: -0.5 }", "dropout_ratio must be in"),
        ("ReLU", "relu_param { engine: CUDNN }", "CUDNN is not built in"),
        ("Sigmoid", "sigmoid_param { engine: CUDNN }", "CUDNN is not built in"),
        ("TanH", "tanh_param { engine: CUDNN }", "CUDNN is not built in"),
        ("PReLU", "", "needs 2 axes or more"),
    ],
)
def test_unusable_parameters_are_named(kind: str, parameters: str, message: str) -> None:
    with pytest.raises(LayerError, match=rf"layer 'L' \({kind}\): .*{message}"):
        small_net(layer(kind, parameters), "cpu", {"x": np.zeros(4)})


def test_threshold_has_no_gradient(device: str) -> None:
    net = small_net(layer("Threshold"), device, {"x": np.ones(4)}, force_backward=True)
    net.forward_pass()
    with pytest.raises(LayerError, match="has no gradient"):
        net.backward_pass()


def test_prelu_gradient_adds_up_and_counts_zero_as_negative_side(device: str) -> None:
    x = np.array([[1, -2, 0], [-1, 3, -4]], np.float32).reshape(2, 3, 1)
    net = small_net(layer("PReLU"), device, {"x": x})
    np.testing.assert_allclose(forward(net), np.where(x > 0, x, 0.25 * x))
    for times in (1, 2):
        dx = backward(net, y=np.ones_like(x))
        np.testing.assert_allclose(dx, np.where(x > 0, 1, 0.25))
        np.testing.assert_allclose(net.layers[-1].blobs[0].diff, [-times, -2 * times, -4 * times])


def test_prelu_channels_are_fixed(device: str) -> None:
    net = small_net(layer("PReLU"), device, {"x": np.zeros((2, 3))})
    net.blob_dict["x"].reshape(2, 4)
    with pytest.raises(LayerError, match="has not the slopes' 3 channels"):
        net.forward_pass()


class TestDropout:
    def test_a_seed_gives_the_same_masks_on_every_device(self) -> None:
        x = np.ones((50, 20), np.float32)
        kept = {}
        for device in DEVICES:
            context.set_random_seed(9)
            net = small_net(layer("Dropout", ACTIVATION["Dropout"]), device, {"x": x})
            kept[device] = [forward(net), forward(net)]
            np.testing.assert_array_equal(kept["reference"], kept[device])
        assert (kept["cpu"][0] != kept["cpu"][1]).any()

    def test_the_mean_is_kept(self, device: str) -> None:
        context.set_random_seed(1)
        x = np.ones((100, 100), np.float32)
        y = forward(small_net(layer("Dropout", ACTIVATION["Dropout"]), device, {"x": x}))
        np.testing.assert_allclose(np.unique(y), [0, 1 / 0.6], rtol=1e-6)
        assert abs(y.mean() - 1) < 0.03

    def test_backward_uses_the_mask_of_forward(self, device: str) -> None:
        net = small_net(layer("Dropout"), device, {"x": np.ones((6, 6))})
        y = forward(net)
        np.testing.assert_array_equal(backward(net, y=np.ones((6, 6))), y)

    @pytest.mark.parametrize(("phase", "ratio"), [(minicaffe.TEST, 0.5), (minicaffe.TRAIN, 0.0)])
    def test_nothing_is_dropped_in_test_or_with_ratio_0(
        self, phase: int, ratio: float, device: str
    ) -> None:
        x = normal(4, 5)
        parameters = f"dropout_param {{ dropout_ratio: {ratio} }}"
        net = small_net(layer("Dropout", parameters), device, {"x": x}, phase)
        np.testing.assert_array_equal(forward(net), x)
        np.testing.assert_array_equal(backward(net, y=x), x)


def test_relu_gives_no_negative_zero_and_keeps_nan(device: str) -> None:
    ops = kernels_of("relu", device)
    x = np.array([-1, -0.0, 0, 2, np.nan], np.float32)
    y = np.empty_like(x)
    ops.forward(x, y, 0.0)
    assert not np.signbit(y[:4]).any()
    np.testing.assert_array_equal(y, [0, 0, 0, 2, np.nan])
    ops.forward(x, x, 0.0)
    np.testing.assert_array_equal(x, y)


def test_relus_gradient_at_zero_is_the_slopes(device: str) -> None:
    ops = kernels_of("relu", device)
    x = np.array([-1, -0.0, 0, 2], np.float32)
    dx = np.empty_like(x)
    ops.backward(x, np.array([1, 2, 3, 4], np.float32), dx, 0.25)
    np.testing.assert_array_equal(dx, [0.25, 0.5, 0.75, 4])
