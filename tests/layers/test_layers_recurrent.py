"""RNN, LSTM and LSTMUnit: sequences, their beginnings, and what is carried over."""

import numpy as np
import pytest

from minicaffe import context
from minicaffe.errors import LayerError
from minicaffe.net.net import Net
from tests.small_nets import Array, backward, forward, small_net

STATES = {"RNN": 1, "LSTM": 2}
SIZE, INPUTS = 4, 3


def recurrent(kind: str, bottom: str = "x cont", top: str = "y", parameters: str = "") -> str:
    names = [f'bottom: "{name}"' for name in bottom.split()]
    names += [f'top: "{name}"' for name in top.split()]
    filler = 'weight_filler { type: "uniform" min: -1 } bias_filler { type: "uniform" min: -1 }'
    return (
        f'layer {{ type: "{kind}" name: "L" {" ".join(names)} '
        f"recurrent_param {{ num_output: {SIZE} {filler} {parameters} }} }}"
    )


def normal(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def cont(steps: int, count: int, begins: bool) -> Array:
    marks = np.ones((steps, count), np.float32)
    marks[0] = not begins
    return marks


def build(kind: str, device: str, x: Array, begins: bool = True) -> Net:
    context.set_random_seed(21)
    return small_net(recurrent(kind), device, {"x": x, "cont": cont(*x.shape[:2], begins)})


@pytest.fixture(params=STATES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_two_halves_give_what_the_whole_gives(kind: str, device: str) -> None:
    """The state after a forward is the one before the next, where cont is 1."""
    x = normal(6, 2, INPUTS)
    whole = forward(build(kind, device, x))
    net = build(kind, device, x[:3])
    first = forward(net)
    net.blob_dict["x"].data[...] = x[3:]
    net.blob_dict["cont"].data[...] = 1
    np.testing.assert_allclose(np.concatenate([first, forward(net)]), whole, rtol=1e-5, atol=1e-6)


def test_the_number_of_steps_may_change(kind: str, device: str) -> None:
    x = normal(5, 2, INPUTS)
    net = build(kind, device, normal(2, 2, INPUTS))
    net.forward_pass()
    for name, values in (("x", x), ("cont", cont(5, 2, True))):
        net.blob_dict[name].reshape(values.shape)
        net.blob_dict[name].data[...] = values
    np.testing.assert_allclose(forward(net), forward(build(kind, device, x)), rtol=1e-6)


def test_cont_0_forgets_what_was_before(kind: str, device: str) -> None:
    x = normal(4, 2, INPUTS)
    net = build(kind, device, x)
    net.blob_dict["cont"].data[2] = 0
    y = forward(net)
    np.testing.assert_allclose(y[2:], forward(build(kind, device, x[2:])), rtol=1e-5, atol=1e-6)
    dx = backward(net, y=np.concatenate([np.zeros((2, 2, SIZE)), np.ones((2, 2, SIZE))]))
    assert np.all(dx[:2] == 0)
    assert np.all(dx[2:] != 0)


def test_sequences_do_not_mix(kind: str, device: str) -> None:
    x = normal(3, 2, INPUTS)
    other = x.copy()
    other[:, 1] += 1
    y, z = forward(build(kind, device, x)), forward(build(kind, device, other))
    np.testing.assert_array_equal(y[:, 0], z[:, 0])
    assert np.all(y[:, 1] != z[:, 1])


def test_steps_do_not_look_ahead(kind: str, device: str) -> None:
    net = build(kind, device, normal(4, 1, INPUTS))
    net.forward_pass()
    dy = np.zeros((4, 1, SIZE))
    dy[1] = 1
    dx = backward(net, y=dy)
    assert np.all(dx[:2] != 0)
    assert np.all(dx[2:] == 0)


@pytest.mark.parametrize("static", [False, True])
def test_exposed_states_continue_a_sequence(kind: str, static: bool, device: str) -> None:
    """Passing the last states as the first ones is what the layer does by itself."""
    x, more = normal(4, 2, INPUTS), normal(2, 5, seed=8)
    names = ["h", "c"][: STATES[kind]]
    extra = {"static": more} if static else {}

    def net(part: Array, states: dict[str, Array] | None, begins: bool) -> Net:
        context.set_random_seed(21)
        inputs = {"x": part, "cont": cont(*part.shape[:2], begins), **extra, **(states or {})}
        expose = "expose_hidden: true" if states else ""
        tops = " ".join(["y", *(f"{name}T" for name in names)] if states else ["y"])
        return small_net(recurrent(kind, " ".join(inputs), tops, expose), device, inputs)

    whole = forward(net(x, None, True))
    zeros = dict.fromkeys(names, np.zeros((1, 2, SIZE), np.float32))
    first = net(x[:2], zeros, False)
    halves = [forward(first)]
    last = {name: np.array(first.blob_dict[f"{name}T"].data) for name in names}
    halves.append(forward(net(x[2:], last, False)))
    np.testing.assert_allclose(np.concatenate(halves), whole, rtol=1e-5, atol=1e-6)


def test_an_in_place_layer_behind_does_not_disturb(kind: str, device: str) -> None:
    x, dy = normal(3, 2, INPUTS), normal(3, 2, SIZE, seed=5)
    net = build(kind, device, x)
    plain = [forward(net), backward(net, y=2 * dy), forward(net)]
    context.set_random_seed(21)
    text = recurrent(kind) + (
        'layer { type: "Scale" name: "twice" bottom: "y" top: "y" scale_param { num_axes: 0 } }'
    )
    net = small_net(text, device, {"x": x, "cont": cont(3, 2, True)})
    net.layers[-1].blobs[0].data[...] = 2
    changed = [forward(net) / 2, backward(net, y=dy), forward(net) / 2]
    for expected, actual in zip(plain, changed, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "static", "shapes"),
    [
        ("LSTM", False, [(16, 3), (16,), (16, 4)]),
        ("LSTM", True, [(16, 3), (16,), (16, 5), (16, 4)]),
        ("RNN", False, [(4, 3), (4,), (4, 4), (4, 4), (4,)]),
        ("RNN", True, [(4, 3), (4,), (4, 5), (4, 4), (4, 4), (4,)]),
    ],
)
def test_parameters_are_caffes(kind: str, static: bool, shapes: list[tuple[int, ...]]) -> None:
    inputs = {"x": normal(2, 2, INPUTS), "cont": np.ones((2, 2))}
    if static:
        inputs["static"] = normal(2, 5)
    net = small_net(recurrent(kind, " ".join(inputs)), "cpu", inputs)
    assert [blob.shape for blob in net.layers[-1].blobs] == shapes


@pytest.mark.parametrize(
    ("changes", "parameters", "message"),
    [
        ({"cont": (3, 1)}, "", r"cont must be \(3, 2\) like x"),
        ({"cont": (6,)}, "", "cont must be"),
        ({"x": (6,)}, "", r"x must be \(T, N, ...\)"),
        ({}, "num_output: 0", "num_output must be given"),
        ({"h": (1, 2, 4)}, "expose_hidden: true", "takes bottoms x, cont"),
        ({"h": (1, 2, 4), "c": (2, 4)}, "expose_hidden: true", "takes bottoms"),
        ({"static": (3, 5)}, "", r"static must be \(2, ...\)"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, tuple[int, ...]], parameters: str, message: str
) -> None:
    shapes = {"x": (3, 2, INPUTS), "cont": (3, 2), **changes}
    inputs = {name: np.zeros(shape) for name, shape in shapes.items()}
    text = recurrent("LSTM", " ".join(inputs), "y", parameters)
    if "num_output" in parameters:
        text = text.replace(f"num_output: {SIZE}", "")
    with pytest.raises(LayerError, match=rf"layer 'L' \(LSTM\): .*{message}"):
        small_net(text, "cpu", inputs)


def test_initial_states_have_a_step_axis() -> None:
    inputs = {
        "x": normal(3, 2, INPUTS),
        "cont": np.ones((3, 2)),
        "h": normal(2, 4),
        "c": normal(2, 4),
    }
    text = recurrent("LSTM", " ".join(inputs), "y hT cT", "expose_hidden: true")
    with pytest.raises(LayerError, match=r"an initial state must be \(1, 2, 4\)"):
        small_net(text, "cpu", inputs)


class TestLSTMUnit:
    text = (
        'layer { type: "LSTMUnit" name: "L" bottom: "c" bottom: "g" bottom: "cont" '
        'top: "c1" top: "h1" }'
    )

    def test_cont_0_forgets_the_cell(self, device: str) -> None:
        inputs = {"c": normal(1, 2, 3), "g": normal(1, 2, 12), "cont": [[0, 1]]}
        net = small_net(self.text, device, inputs)
        i, f, o, g = np.split(np.float64(inputs["g"][0]), 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = np.array([[0], [1]]) * f * inputs["c"][0] + i * np.tanh(g)
        np.testing.assert_allclose(forward(net, "c1")[0], cell, rtol=1e-5)
        np.testing.assert_allclose(net.blob_dict["h1"].data[0], o * np.tanh(cell), rtol=1e-5)
        dc = backward(net, "c", c1=np.ones((1, 2, 3)), h1=np.zeros((1, 2, 3)))
        np.testing.assert_allclose(dc[0], np.array([[0], [1]]) * f, rtol=1e-5)

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            (((2, 3), (1, 2, 12), (1, 2)), r"c_prev must be \(1, N, H\)"),
            (((2, 2, 3), (2, 2, 12), (2, 2)), r"c_prev must be \(1, N, H\)"),
            (((1, 2, 3), (1, 2, 9), (1, 2)), r"gates must be \(1, 2, 12\)"),
            (((1, 2, 3), (1, 2, 12), (2,)), r"cont \(1, 2\)"),
        ],
    )
    def test_shapes_are_checked(self, shapes: tuple[tuple[int, ...], ...], message: str) -> None:
        inputs = {
            name: np.zeros(shape) for name, shape in zip(("c", "g", "cont"), shapes, strict=True)
        }
        with pytest.raises(LayerError, match=message):
            small_net(self.text, "cpu", inputs)
