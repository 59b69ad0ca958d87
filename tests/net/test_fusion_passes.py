"""Passes in groups and layer by layer, mixed; what callbacks see of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minicaffe.net.debug_info import DebugInfo
from minicaffe.net.net import Net
from minicaffe.solver.solver import Solver
from tests.core.test_allocation import peak_of
from tests.net.fused_nets import (
    BLOCK,
    GIVEN,
    Array,
    assert_same,
    chain,
    contents,
    make_solver,
    norm,
    parsed,
    relu,
    scale,
)


def forward_in_steps(net: Net) -> None:
    for index in range(len(net.layers)):
        net.forward_pass(index, index)


def backward_in_steps(net: Net) -> None:
    for index in reversed(range(len(net.layers))):
        net.backward_pass(index, index)


def forward_in_two(net: Net) -> None:
    """The cut goes through the first group."""
    cut = net.groups[0].first if net.groups else 2
    net.forward_pass(0, cut)
    net.forward_pass(cut + 1)


def backward_in_two(net: Net) -> None:
    cut = net.groups[0].last if net.groups else 4
    net.backward_pass(None, cut)
    net.backward_pass(cut - 1)


@pytest.mark.parametrize("back", [Net.backward_pass, backward_in_steps, backward_in_two])
@pytest.mark.parametrize("there", [Net.forward_pass, forward_in_steps, forward_in_two])
@pytest.mark.parametrize("statistics", ["", GIVEN])
def test_passes_can_be_mixed(
    there: Callable[[Net], Any], back: Callable[[Net], Any], statistics: str
) -> None:
    layers = chain(norm("a", "a", statistics), scale("a"), relu("a"))
    plain, fused = (make_solver(parsed(layers), fuse=fuse).net for fuse in (False, True))
    for _ in range(2):
        plain.forward_pass()
        plain.backward_pass()
        there(fused)
        back(fused)
    assert_same(contents(plain), contents(fused))


def test_a_pass_that_ends_inside_a_group_leaves_what_the_layers_leave() -> None:
    plain, fused = (make_solver(parsed(BLOCK), fuse=fuse).net for fuse in (False, True))
    for last in range(2, 6):
        for net in (plain, fused):
            net.forward_pass(0, last)
        np.testing.assert_array_equal(
            fused.blob_dict["a"].data.copy(), plain.blob_dict["a"].data.copy()
        )


@pytest.mark.parametrize("when", ["before_forward", "after_forward"])
def test_a_callback_sees_what_each_layer_leaves_forward(when: str) -> None:
    seen: dict[bool, list[Array]] = {False: [], True: []}
    for fuse, values in seen.items():
        net = make_solver(parsed(BLOCK), fuse=fuse).net
        getattr(net.callbacks, when).append(
            lambda index, net=net, values=values: values.append(net.blob_dict["a"].data.copy())
        )
        net.forward_pass()
    np.testing.assert_array_equal(seen[True], seen[False])


@pytest.mark.parametrize("when", ["before_backward", "after_backward"])
def test_a_callback_sees_what_each_layer_leaves_backward(when: str) -> None:
    seen: dict[bool, list[Array]] = {False: [], True: []}
    for fuse, values in seen.items():
        net = make_solver(parsed(BLOCK), fuse=fuse).net
        getattr(net.callbacks, when).append(
            lambda index, net=net, values=values: values.append(net.blob_dict["a"].diff.copy())
        )
        net.forward_pass()
        net.backward_pass()
    np.testing.assert_allclose(seen[True], seen[False], atol=1e-5)
    assert len(seen[True]) == len(parsed(BLOCK).layer) + 2  # Splits


def test_debug_info_tells_of_each_layer_while_it_is_on(caplog: pytest.LogCaptureFixture) -> None:
    logged = []
    for fuse in (False, True):
        net = make_solver(parsed(BLOCK), fuse=fuse).net
        debug_info = DebugInfo(net)
        for wanted in (True, False, True, True, False):
            debug_info.enabled = wanted
            caplog.clear()
            with caplog.at_level("INFO", "minicaffe.net"):
                net.forward_pass()
            assert bool(caplog.messages) == wanted
            logged.append(list(caplog.messages))
    assert logged[:5] == logged[5:]
    assert any("a_scale" in line for line in logged[0])


def test_a_solver_is_told_of_each_layers_gradients_when_they_are_complete() -> None:
    told: dict[bool, list[tuple[int, list[Array]]]] = {False: [], True: []}

    class Recorder:
        def __init__(self, seen: list[tuple[int, list[Array]]]) -> None:
            self.seen = seen

        def after_backward(self, solver: Solver, index: int) -> None:
            blobs = solver.net.layers[index].blobs
            self.seen.append((index, [blob.diff.copy() for blob in blobs]))

    for fuse, seen in told.items():
        solver = make_solver(parsed(BLOCK), fuse=fuse)
        solver.callbacks.append(Recorder(seen))
        solver.step(1)
    assert [index for index, _ in told[True]] == [index for index, _ in told[False]]
    for (_, mine), (_, theirs) in zip(told[True], told[False], strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_step_allocates_no_arrays() -> None:
    layers = [line.replace("dim: 5 dim: 7", "dim: 50 dim: 70") for line in BLOCK]
    solver = make_solver(parsed(layers), fuse=True)
    assert solver.net.blob_dict["a"].count() > 40_000
    assert peak_of(lambda: solver.step(1)) < 20_000
