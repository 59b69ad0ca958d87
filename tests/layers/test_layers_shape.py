"""Layers that move, join, select and combine values, and those that make them up."""

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.errors import Error, LayerError
from tests.small_nets import backward, forward, small_net


def layer(kind: str, parameters: str = "", bottom: str = "x", top: str = "y") -> str:
    names = [f'bottom: "{name}"' for name in bottom.split()]
    names += [f'top: "{name}"' for name in top.split()]
    return f'layer {{ type: "{kind}" name: "L" {" ".join(names)} {parameters} }}'


def numbers(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape) - 5.0


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_slice_undoes_concat(axis: int, device: str) -> None:
    shapes = []
    for length in (1, 4, 2):
        shape = [2, 3, 4]
        shape[axis] = length
        shapes.append(shape)
    inputs = {name: numbers(*shape) for name, shape in zip("abc", shapes, strict=True)}
    text = layer("Concat", f"concat_param {{ axis: {axis} }}", "a b c", "joined") + layer(
        "Slice", f"slice_param {{ axis: {axis} slice_point: [1, 5] }}", "joined", "u v w"
    )
    net = small_net(text, device, inputs)
    joined = forward(net, "joined")
    np.testing.assert_array_equal(joined, np.concatenate(list(inputs.values()), axis))
    gradients = {top: numbers(*shape, seed=8) for top, shape in zip("uvw", shapes, strict=True)}
    backward(net, "a", **gradients)
    for source, top in zip("abc", "uvw", strict=True):
        np.testing.assert_array_equal(net.blob_dict[top].data, inputs[source])
        np.testing.assert_array_equal(net.blob_dict[source].diff, gradients[top])


def test_concat_of_large_rows(device: str) -> None:
    """Rows longer than what one task copies."""
    inputs = {"a": numbers(2, 40000), "b": numbers(2, 16384)}
    y = forward(small_net(layer("Concat", bottom="a b"), device, inputs))
    np.testing.assert_array_equal(y, np.concatenate(list(inputs.values()), 1))


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("Concat", ""),
        ("Slice", ""),
        ("Flatten", ""),
        ("Reshape", "reshape_param { shape { dim: 3 dim: -1 } }"),
    ],
)
def test_memory_is_shared_where_nothing_moves(kind: str, parameters: str, device: str) -> None:
    net = small_net(layer(kind, parameters), device, {"x": numbers(2, 3, 4)})
    net.forward_pass()
    x, y = net.blob_dict["x"], net.blob_dict["y"]
    y.data[...] = 5
    y.diff[...] = 6
    assert np.all(np.asarray(x.data) == 5)
    assert np.all(np.asarray(x.diff) == 6)


def test_sharing_survives_a_larger_batch(device: str) -> None:
    text = layer("Flatten", top="f") + layer("Power", "power_param { scale: 2 }", "f")
    net = small_net(text.replace('name: "L"', 'name: "M"', 1), device, {"x": numbers(2, 3, 4)})
    for batch in (2, 5, 1):
        x = numbers(batch, 3, 4, seed=batch)
        net.blob_dict["x"].reshape(x.shape)
        net.blob_dict["x"].data[...] = x
        np.testing.assert_array_equal(forward(net), 2 * x.reshape(batch, 12))
        dy = numbers(batch, 12, seed=9)
        np.testing.assert_array_equal(backward(net, y=dy), 2 * dy.reshape(x.shape))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_tile_repeats(axis: int, device: str) -> None:
    x = numbers(2, 3, 4)
    net = small_net(layer("Tile", f"tile_param {{ axis: {axis} tiles: 3 }}"), device, {"x": x})
    repeats = [1, 1, 1]
    repeats[axis] = 3
    y = forward(net)
    np.testing.assert_array_equal(y, np.tile(x, repeats))
    np.testing.assert_array_equal(backward(net, y=np.ones_like(y)), np.full_like(x, 3))


class TestEltwise:
    @pytest.mark.parametrize("count", [2, 3, 4])
    @pytest.mark.parametrize(
        ("operation", "combine"),
        [("SUM", np.add.reduce), ("PROD", np.multiply.reduce), ("MAX", np.maximum.reduce)],
    )
    def test_values(self, count: int, operation: str, combine: np.ufunc, device: str) -> None:
        inputs = {name: numbers(2, 3, seed=ord(name)) for name in "abcd"[:count]}
        text = layer("Eltwise", f"eltwise_param {{ operation: {operation} }}", " ".join(inputs))
        y = forward(small_net(text, device, inputs))
        np.testing.assert_array_equal(y, combine(list(inputs.values())))

    def test_max_gives_each_gradient_to_one_bottom(self, device: str) -> None:
        """Bottom 1 wins a tie with bottom 0, a later bottom must be larger."""
        inputs = {"a": [1.0, 2, 0, 3], "b": [1.0, 1, 0, 3], "c": [1.0, 2, 5, 3]}
        text = layer("Eltwise", "eltwise_param { operation: MAX }", "a b c")
        net = small_net(text, device, inputs)
        net.forward_pass()
        backward(net, "a", y=np.ones(4))
        given = [np.array(net.blob_dict[name].diff).tolist() for name in "abc"]
        assert given == [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]]

    def test_the_stable_gradient_of_a_product_survives_zeros(self, device: str) -> None:
        inputs = {"a": [0.0, 2], "b": [3.0, 0], "c": [4.0, 5]}
        net = small_net(
            layer("Eltwise", "eltwise_param { operation: PROD }", "a b c"), device, inputs
        )
        net.forward_pass()
        np.testing.assert_array_equal(backward(net, "a", y=np.ones(2)), [12, 0])
        np.testing.assert_array_equal(net.blob_dict["b"].diff, [0, 10])
        np.testing.assert_array_equal(net.blob_dict["c"].diff, [0, 0])


@pytest.mark.parametrize(
    ("operation", "value", "slope"),
    [
        ("SUM", lambda x: x.sum(1), np.ones_like),
        ("MEAN", lambda x: x.mean(1), lambda x: np.full_like(x, 1 / x[0].size)),
        ("ASUM", lambda x: np.abs(x).sum(1), np.sign),
        ("SUMSQ", lambda x: (x * x).sum(1), lambda x: 2 * x),
    ],
)
@pytest.mark.parametrize("size", [7, 10000])
def test_reduction(operation: str, value: object, slope: object, size: int, device: str) -> None:
    """Rows shorter and longer than what one task sums."""
    x = np.random.default_rng(2).uniform(-1, 1, (3, size)).astype(np.float32)
    parameters = f"reduction_param {{ operation: {operation} axis: 1 coeff: 0.5 }}"
    net = small_net(layer("Reduction", parameters), device, {"x": x})
    exact = np.float64(x)
    np.testing.assert_allclose(forward(net), 0.5 * value(exact), rtol=1e-5, atol=1e-4)  # type: ignore
    dx = backward(net, y=np.array([1, 2, 3]))
    expected = 0.5 * slope(exact) * np.array([[1], [2], [3]])  # type: ignore
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-9)


class TestFilter:
    def test_items_follow_the_selector(self, device: str) -> None:
        x, selector = numbers(5, 2), np.zeros(5)
        text = layer("Filter", bottom="x selector")
        net = small_net(text, device, {"x": x, "selector": selector})
        for marks in ([0, 1, 0, 0, 2], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, -1, 0, 0]):
            net.blob_dict["selector"].data[...] = marks
            kept = np.flatnonzero(marks)
            np.testing.assert_array_equal(forward(net), x[kept])
            dx = backward(net, y=np.ones((len(kept), 2)))
            np.testing.assert_array_equal(dx, (np.array(marks) != 0)[:, None] * np.ones((5, 2)))

    def test_tops_are_full_until_the_first_forward(self, device: str) -> None:
        net = small_net(
            layer("Filter", bottom="x s"), device, {"x": numbers(5, 2), "s": np.zeros((5, 1, 1))}
        )
        assert net.blob_dict["y"].shape == (5, 2)


class TestBatchReindex:
    def test_gradients_of_copies_add_up(self, device: str) -> None:
        x = numbers(4, 3)
        net = small_net(
            layer("BatchReindex", bottom="x index"), device, {"x": x, "index": [2, 2, 0, 2]}
        )
        np.testing.assert_array_equal(forward(net), x[[2, 2, 0, 2]])
        dx = backward(net, y=np.ones((4, 3)))
        np.testing.assert_array_equal(dx[:, 0], [1, 0, 3, 0])

    @pytest.mark.parametrize("index", [4, -1, np.nan])
    def test_indices_are_checked(self, index: float, device: str) -> None:
        net = small_net(
            layer("BatchReindex", bottom="x index"),
            device,
            {"x": numbers(4, 3), "index": [0, index]},
        )
        with pytest.raises(LayerError, match=f"index {index:g} is outside a batch of 4"):
            net.forward_pass()


def test_parameter_is_trained_through_its_top(device: str) -> None:
    text = 'layer { type: "Parameter" name: "p" top: "p" parameter_param { shape { dim: 3 } } }'
    net = small_net(text + layer("Bias", bottom="x p"), device, {"x": numbers(2, 3)})
    assert net.flat_params.count == 3
    net.flat_params.data[...] = [1, 2, 3]
    np.testing.assert_array_equal(forward(net), numbers(2, 3) + np.array([1, 2, 3]))
    backward(net, y=np.ones((2, 3)))
    np.testing.assert_array_equal(net.flat_params.diff, [2, 2, 2])


class TestDummyData:
    text = 'layer {{ type: "DummyData" name: "L" {tops} dummy_data_param {{ {parameters} }} }}'

    def net(self, parameters: str, tops: str = 'top: "y"') -> minicaffe.net.net.Net:
        return small_net(self.text.format(tops=tops, parameters=parameters), "cpu")

    def test_only_random_tops_change(self) -> None:
        context.set_random_seed(4)
        net = self.net(
            'shape { dim: 50 } data_filler { value: 2 } data_filler { type: "gaussian" }',
            'top: "y" top: "z"',
        )
        assert not np.any(net.blob_dict["z"].data)  # not drawn at setup
        forward(net)
        first = np.array(net.blob_dict["z"].data, copy=True)
        assert np.any(first != forward(net, "z"))
        np.testing.assert_array_equal(net.blob_dict["y"].data, np.full(50, 2))

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ("", "shape is given 0 times for 2 tops"),
            ("shape { dim: 1 } shape { dim: 2 } shape { dim: 3 }", "shape is given 3 times"),
            ("shape { dim: 1 } num: 1 channels: 1 height: 1 width: 1", "not both"),
            ("num: 1 channels: 1 height: 1", "width is given 0 times"),
            (
                "shape { dim: 1 } data_filler {} data_filler {} data_filler {}",
                "data_filler is given 3",
            ),
        ],
    )
    def test_numbers_that_do_not_fit_are_named(self, parameters: str, message: str) -> None:
        with pytest.raises(LayerError, match=rf"layer 'L' \(DummyData\): .*{message}"):
            self.net(parameters, 'top: "y" top: "z"')


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        (layer("Concat", "concat_param { axis: 1 concat_dim: 1 }"), [(2, 3)], "not both"),
        (
            layer("Concat", "concat_param { concat_dim: 2 }"),
            [(2, 3)],
            "axis 2 is outside",
        ),
        (layer("Concat", bottom="x z"), [(2, 3), (2, 3, 1)], "differ outside axis 1"),
        (layer("Concat", top="x"), [(2, 3)], "cannot run in place"),
        (layer("Slice", "slice_param { axis: 1 slice_dim: 1 }"), [(2, 3)], "not both"),
        (layer("Slice", "slice_param { slice_point: 3 }", top="y z"), [(2, 3)], "must increase"),
        (layer("Slice", "slice_param { slice_point: 0 }", top="y z"), [(2, 3)], "must increase"),
        (
            layer("Flatten", "flatten_param { axis: 2 end_axis: 1 }"),
            [(2, 3, 4)],
            "is before axis 2",
        ),
        (layer("Flatten", "flatten_param { axis: 3 }"), [(2, 3, 4)], "axis 3 is outside"),
        (layer("Flatten", top="x"), [(2, 3)], "cannot run in place"),
        (layer("Reshape", "reshape_param { shape { dim: 5 dim: -1 } }"), [(2, 3)], "cannot infer"),
        (layer("Reshape", "reshape_param { shape { dim: -2 } }"), [(2, 3)], "dims are -1, 0 or"),
        (
            layer("Reshape", "reshape_param { shape { dim: 2 dim: 3 dim: 0 } }"),
            [(2, 3)],
            "no such axis",
        ),
        (layer("Reshape", "reshape_param { axis: 3 }"), [(2, 3)], "is outside"),
        (layer("Reshape", "reshape_param { axis: 1 num_axes: 2 }"), [(2, 3)], "is outside"),
        (layer("Reshape", "reshape_param { num_axes: -2 }"), [(2, 3)], "num_axes must be -1 or"),
        (layer("Tile"), [(2, 3)], "tiles must be given"),
        (layer("Tile", "tile_param { tiles: 2 axis: 2 }"), [(2, 3)], "axis 2 is outside"),
        (layer("Eltwise", bottom="x z"), [(2, 3), (3, 2)], "differ in shape"),
        (layer("Reduction", "reduction_param { axis: 2 }"), [(2, 3)], "axis 2 is outside"),
        (layer("Filter", bottom="x z"), [(2, 3), (3,)], r"a bottom of \(2, 3\) for a selector"),
        (layer("Filter", bottom="x z"), [(2, 3), (2, 2)], "one value an item"),
        (layer("Filter", bottom="x z", top="y w"), [(2, 3), (2,)], "make 1 tops, not 2"),
        (layer("BatchReindex", bottom="x z"), [(2, 3), (2, 1)], "their indices"),
    ],
)
def test_what_does_not_fit_is_named(text: str, shapes: list[tuple[int, ...]], message: str) -> None:
    inputs = {name: np.zeros(shape) for name, shape in zip("xz", shapes, strict=False)}
    with pytest.raises(Error, match=rf"layer 'L' \(\w+\): .*{message}"):
        small_net(text, "cpu", inputs)


@pytest.mark.parametrize("kind", ["Filter", "BatchReindex"])
def test_selectors_must_not_depend_on_parameters(kind: str, device: str) -> None:
    text = layer("Bias", bottom="index", top="shifted") + layer(kind, "loss_weight: 1", "x shifted")
    text = text.replace('name: "L"', 'name: "bias"', 1)
    inputs = {"x": numbers(4, 3), "index": np.ones((4, 1) if kind == "Filter" else 4)}
    if kind == "BatchReindex":
        text = text.replace('top: "shifted"', 'top: "shifted" bias_param { axis: 0 }', 1)
    net = small_net(text, device, inputs, force_backward=False)
    net.forward_pass()
    with pytest.raises(LayerError, match="cannot depend on parameters"):
        net.backward_pass()
