"""Fused neighbours: nobody can tell them from layers on their own but by the time."""

import numpy as np
import pytest
from numpy.typing import NDArray

import minicaffe
from minicaffe.machine.threads import num_threads, set_num_threads
from minicaffe.net.net import Net
from tests.net.fused_nets import (
    BLOCK,
    CHAINS,
    INPUT,
    assert_same,
    chain,
    contents,
    convolution,
    layer,
    loss,
    make_solver,
    norm,
    numbers,
    parsed,
    relu,
    scale,
)


@pytest.mark.parametrize("name", [*CHAINS, "block"])
def test_a_pass_is_the_same(name: str) -> None:
    nets = [make_solver(parsed(CHAINS.get(name, BLOCK)), fuse=fuse).net for fuse in (False, True)]
    for net in nets:
        net.forward_pass()
        net.backward_pass()
    assert_same(*map(contents, nets), error=1e-6)


@pytest.mark.parametrize("name", ["a sum", "a sum that two read", "a sum that three read"])
def test_sums_are_the_same_to_the_bit(name: str) -> None:
    nets = [make_solver(parsed(CHAINS[name]), fuse=fuse).net for fuse in (False, True)]
    for net in nets:
        net.forward_pass()
        net.backward_pass()
    assert_same(*map(contents, nets), error=0)


@pytest.mark.parametrize("iter_size", [1, 2])
@pytest.mark.parametrize("name", [*CHAINS, "block"])
def test_training_is_the_same(name: str, iter_size: int) -> None:
    """Blobs, gradients, parameters, statistics and losses, over four iterations."""
    param = parsed(CHAINS.get(name, BLOCK))
    plain, fused = (make_solver(param, fuse=fuse, iter_size=iter_size) for fuse in (False, True))
    assert fused.net.groups and not plain.net.groups
    for _ in range(4):
        plain.step(1)
        fused.step(1)
        assert fused.smoothed_loss == pytest.approx(plain.smoothed_loss, rel=1e-5)
        assert_same(contents(plain.net), contents(fused.net))


@pytest.mark.parametrize("share_memory", [False, True])
@pytest.mark.parametrize("name", [*CHAINS, "block"])
def test_a_net_in_phase_test_gives_the_same(name: str, share_memory: bool) -> None:
    param = parsed(CHAINS.get(name, BLOCK), minicaffe.TEST)
    trained = make_solver(parsed(CHAINS.get(name, BLOCK)), fuse=False)
    found = []
    for fuse in (False, True):
        net = Net(param, device="cpu", share_memory=share_memory, fuse=fuse)
        net.share_trained_from(trained.net)
        net.input_blobs[0].data[...] = numbers(0, net.input_blobs[0].shape)
        net.forward_pass()
        found.append({"loss": net.blob_dict["loss"].data.copy()} if share_memory else contents(net))
    assert_same(*found)


CUBES = (layer("Power", "a", "cubes", "power_param { power: 3 }")
         + layer("Reduction", "cubes", "loss", "loss_weight: 1"))  # fmt: skip


def test_the_gradient_of_a_group_is_that_of_its_formula() -> None:
    """By central differences in float64, of the function that the three layers are."""
    param = parsed([INPUT, norm("data", "a"), scale("a"), relu("a", 0.2), CUBES])
    param.force_backward = True
    net = Net(param, device="cpu")
    x = numbers(3, net.input_blobs[0].shape)
    net.input_blobs[0].data[...] = x
    net.forward_pass()
    net.backward_pass()
    gain, shift = (blob.data.copy().astype(float) for blob in net.layers[2].blobs)

    def value(x: NDArray[np.float64]) -> float:
        mean = x.mean((0, 2, 3), keepdims=True)
        variance = ((x - mean) ** 2).mean((0, 2, 3), keepdims=True)
        y = (x - mean) / np.sqrt(variance + 1e-5) * gain[:, None, None] + shift[:, None, None]
        return float((np.where(y > 0, y, 0.2 * y) ** 3).sum())

    wide = x.astype(float)
    for place in [(0, 0, 0, 0), (1, 2, 3, 4), (2, 3, 4, 6)]:
        step = np.zeros_like(wide)
        step[place] = 1e-5
        slope = (value(wide + step) - value(wide - step)) / 2e-5
        assert net.input_blobs[0].diff[place] == pytest.approx(slope, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    found = []
    before = num_threads()
    for count in (1, min(threads, before)):
        set_num_threads(count)
        try:
            solver = make_solver(parsed(BLOCK), fuse=True)
            solver.step(3)
        finally:
            set_num_threads(before)
        found.append(contents(solver.net))
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values, err_msg=name)


def test_parameters_can_be_shared() -> None:
    names = 'param { name: "gain" } param { name: "shift" }'
    layers = chain(
        norm("a", "a"), scale("a", more=names), relu("a"),
        convolution("a", "b"), norm("b", "b"), scale("b", more=names), relu("b"),
        convolution("b", "c"),
    )  # fmt: skip
    layers[-1] = loss("c")
    plain, fused = (make_solver(parsed(layers), fuse=fuse) for fuse in (False, True))
    assert len(fused.net.groups) == 2
    plain.step(3)
    fused.step(3)
    assert_same(contents(plain.net), contents(fused.net))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_shape_may_change(batch: int) -> None:
    found = []
    for fuse in (False, True):
        net = make_solver(parsed(BLOCK), fuse=fuse).net
        for size in (3, batch, 3):
            net.input_blobs[0].reshape(size, 4, 5, 7)
            net.input_blobs[0].data[...] = numbers(size, net.input_blobs[0].shape)
            net.forward_pass()
            net.backward_pass()
        found.append(contents(net))
    assert_same(*found)
