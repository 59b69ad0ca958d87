"""BatchNorm, Scale, Bias and MVN."""

import numpy as np
import pytest

import minicaffe
from minicaffe.errors import LayerError
from tests.one_layer import OneLayer
from tests.small_nets import backward, forward, small_net


def layer(kind: str, parameters: str = "", bottom: str = "x", top: str = "y") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ type: "{kind}" name: "L" {bottoms} top: "{top}" {parameters} }}'


def normal(*shape: int, mean: float = 0, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 2, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 3, 5, 2), (64, 130), (4, 2, 1)])
class TestBatchNorm:
    """Shapes with pixels, and with one value a channel and item (other loops on the CPU)."""

    def test_output_has_mean_0_and_variance_1(self, shape: tuple[int, ...], device: str) -> None:
        net = small_net(layer("BatchNorm"), device, {"x": normal(*shape, mean=50)})
        y = forward(net).reshape(*shape[:2], -1)
        np.testing.assert_allclose(y.mean((0, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(y.var((0, 2)), 1, atol=1e-3)

    def test_stored_statistics_become_those_of_the_data(
        self, shape: tuple[int, ...], device: str
    ) -> None:
        """After one batch, TEST uses its mean and its unbiased variance."""
        x = normal(*shape, mean=5)
        net = small_net(layer("BatchNorm"), device, {"x": x})
        net.forward_pass()
        stored = [np.array(blob.data) for blob in net.layers[-1].blobs]
        by_channel = np.float64(x).reshape(*shape[:2], -1)
        m = by_channel.size // shape[1]
        np.testing.assert_allclose(stored[0], by_channel.mean((0, 2)), rtol=1e-5)
        np.testing.assert_allclose(stored[1], by_channel.var((0, 2)) * m / (m - 1), rtol=1e-4)
        np.testing.assert_allclose(stored[2], [1])
        test = small_net(layer("BatchNorm"), device, {"x": x}, minicaffe.TEST)
        test.share_trained_from(net)
        centred = by_channel - stored[0][:, None]
        expected = centred / np.sqrt(stored[1] + 1e-5)[:, None]
        np.testing.assert_allclose(forward(test), expected.reshape(shape), rtol=1e-4, atol=1e-4)

    def test_gradient_is_orthogonal_to_mean_and_scale(
        self, shape: tuple[int, ...], device: str
    ) -> None:
        """Adding a constant to x, or stretching it, does not change y."""
        net = small_net(layer("BatchNorm"), device, {"x": normal(*shape)})
        y = forward(net).reshape(*shape[:2], -1)
        dx = backward(net, y=normal(*shape, seed=4)).reshape(y.shape)
        np.testing.assert_allclose(dx.sum((0, 2)), 0, atol=1e-3)
        np.testing.assert_allclose((dx * y).sum((0, 2)), 0, atol=1e-2)

    def test_given_statistics_only_scale_the_gradient(
        self, shape: tuple[int, ...], device: str
    ) -> None:
        net = small_net(layer("BatchNorm"), device, {"x": normal(*shape)}, minicaffe.TEST)
        for blob, value in zip(net.layers[-1].blobs, (3, 18, 2), strict=True):
            blob.data[...] = value
        net.forward_pass()
        dy = normal(*shape, seed=4)
        np.testing.assert_allclose(backward(net, y=dy), dy / 3, rtol=1e-5)


def test_batch_norm_in_test_does_not_change_its_statistics(device: str) -> None:
    net = small_net(layer("BatchNorm"), device, {"x": normal(4, 3, 2)}, minicaffe.TEST)
    forward(net)
    assert [np.count_nonzero(blob.data) for blob in net.layers[-1].blobs] == [0, 0, 0]


def test_the_solver_does_not_learn_batch_norm_statistics(device: str) -> None:
    net = small_net(layer("BatchNorm"), device, {"x": normal(4, 3, 2)})
    assert net.flat_params.lr_mults == [0, 0, 0]


@pytest.mark.parametrize(
    ("parameters", "bottom", "message"),
    [
        ("param { lr_mult: 1 }", np.zeros((2, 3)), "lr_mult must be 0"),
        ("param { decay_mult: 0 }", np.zeros((2, 3)), "lr_mult must be 0"),
        ("", np.zeros(3), "needs 2 axes or more"),
    ],
)
def test_batch_norm_refuses(parameters: str, bottom: np.ndarray, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        small_net(layer("BatchNorm", parameters), "cpu", {"x": bottom})


def test_batch_norm_channels_are_fixed(device: str) -> None:
    net = small_net(layer("BatchNorm"), device, {"x": np.zeros((2, 3))})
    net.blob_dict["x"].reshape(2, 4)
    with pytest.raises(LayerError, match="statistics are for 3 channels"):
        net.forward_pass()


def scale_parameters(axis: int, num_axes: int) -> str:
    return (
        f"scale_param {{ axis: {axis} num_axes: {num_axes} bias_term: true "
        'filler { type: "uniform" min: 1 max: 2 } bias_filler { type: "uniform" } }'
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("num_axes", [0, 1, -1])
def test_scale_is_numpy_broadcasting(axis: int, num_axes: int, device: str) -> None:
    x, dy = normal(4, 70, 3), normal(4, 70, 3, seed=5)
    net = small_net(layer("Scale", scale_parameters(axis, num_axes)), device, {"x": x})
    first = axis % 3
    span = {0: (), 1: (first,), -1: tuple(range(first, 3))}[num_axes]
    kept = [size if i in span else 1 for i, size in enumerate(x.shape)]
    others = tuple(i for i in range(3) if i not in span)
    scale, bias = (np.array(blob.data).reshape(kept) for blob in net.layers[-1].blobs)
    np.testing.assert_allclose(forward(net), x * scale + bias, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(backward(net, y=dy), dy * scale, rtol=1e-5)
    for blob, terms in zip(net.layers[-1].blobs, (dy * x, dy), strict=True):
        expected = np.float64(terms).sum(others).reshape(blob.shape)
        np.testing.assert_allclose(blob.diff, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
@pytest.mark.parametrize("shape", [(4, 3), (3,), ()])
def test_a_second_bottom_is_the_operand(kind: str, shape: tuple[int, ...], device: str) -> None:
    x, operand = normal(4, 3, 2), normal(*shape, seed=6)
    axis = 0 if len(shape) == 2 else 1
    parameters = f"{kind.lower()}_param {{ axis: {axis} }}"
    net = small_net(layer(kind, parameters, "x o"), device, {"x": x, "o": operand})
    wide = operand.reshape([*(1,) * axis, *shape, *(1,) * (3 - axis - len(shape))])
    y = forward(net)
    np.testing.assert_allclose(y, x * wide if kind == "Scale" else x + wide, rtol=1e-5)
    dy = normal(4, 3, 2, seed=7)
    for _ in range(2):  # a bottom's gradient is overwritten, not added up
        dx = backward(net, y=dy)
        np.testing.assert_allclose(dx, dy * wide if kind == "Scale" else dy, rtol=1e-5)
        terms = np.float64(dy * x if kind == "Scale" else dy)
        summed = tuple(i for i in range(3) if wide.shape[i] == 1)
        expected = terms.sum(summed).reshape(shape)
        np.testing.assert_allclose(net.blob_dict["o"].diff, expected, rtol=1e-4, atol=1e-5)


def test_scale_of_a_second_bottom_has_only_a_bias_parameter(device: str) -> None:
    inputs = {"x": normal(2, 3), "o": normal(3)}
    text = layer("Scale", "scale_param { bias_term: true }", "x o")
    assert [blob.shape for blob in small_net(text, device, inputs).layers[-1].blobs] == [(3,)]


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
def test_in_place_gives_the_same_values_and_gradients(kind: str, device: str) -> None:
    x, dy = normal(3, 5, 7), normal(3, 5, 7, seed=4)
    results = []
    for top in ("y", "x"):
        net = small_net(layer(kind, top=top), device, {"x": x})
        net.layers[-1].blobs[0].data[...] = normal(5, seed=8)
        y = forward(net, top)
        results.append((y, backward(net, **{top: dy}), np.array(net.layers[-1].blobs[0].diff)))
    for apart, in_place in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, in_place)


@pytest.mark.parametrize(
    ("kind", "parameters", "bottoms", "message"),
    [
        ("Scale", "scale_param { num_axes: 3 }", [(2, 3)], "goes beyond bottom"),
        ("Scale", "scale_param { num_axes: -2 }", [(2, 3)], "num_axes must be -1 or more"),
        ("Scale", "scale_param { axis: 2 }", [(2, 3)], "axis 2 is outside"),
        ("Scale", "", [(2, 3), (2,)], r"operand of shape \(2,\) does not fit bottom \(2, 3\)"),
        ("Scale", "", [(2, 3), (3, 1)], "does not fit bottom"),
        ("Bias", "bias_param { num_axes: 3 }", [(2, 3)], "goes beyond bottom"),
        ("Bias", "", [(2, 3), (2,)], "does not fit bottom"),
        ("MVN", "", [(1, 2, 3, 4, 5)], "has at most 4 axes"),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    kind: str, parameters: str, bottoms: list[tuple[int, ...]], message: str
) -> None:
    inputs = {name: np.zeros(shape) for name, shape in zip("xo", bottoms, strict=False)}
    with pytest.raises(LayerError, match=rf"layer 'L' \({kind}\): .*{message}"):
        small_net(layer(kind, parameters, " ".join(inputs)), "cpu", inputs)


@pytest.mark.parametrize("across", [False, True])
def test_mvn_normalises_each_image(across: bool, device: str) -> None:
    x = normal(2, 3, 4, 5, mean=7)
    parameters = f"mvn_param {{ across_channels: {str(across).lower()} }}"
    y = forward(small_net(layer("MVN", parameters), device, {"x": x}))
    rows = y.reshape(2 if across else 6, -1)
    np.testing.assert_allclose(rows.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(1), 1, atol=1e-5)


def test_mvn_of_a_constant_is_0(device: str) -> None:
    y = forward(small_net(layer("MVN"), device, {"x": np.full((2, 3, 4), 0.5)}))
    np.testing.assert_array_equal(y, np.zeros((2, 3, 4)))


@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_lrn_of_squares_that_overflow_is_zero_in_their_window(
    device: str, region: str, beta: float
) -> None:
    """x / infinity is 0, as in Caffe; channels out of reach are what they would be."""
    param = f"local_size: 3 beta: {beta} norm_region: {region}"
    x = np.ones((1, 5, 9, 9), np.float32)
    x[0, 1, 4, 4] = 1e30
    case = OneLayer(f'type: "LRN" lrn_param {{ {param} }}', x, device=device)
    y = case.forward()
    assert np.isfinite(y).all()
    assert y[0, 1, 4, 4] == 0
    assert y[0, 4, 4, 4] > 0
    [dx] = case.backward(np.ones_like(x))
    assert np.isfinite(dx).all()
