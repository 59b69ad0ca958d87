"""Why a convolution goes its way: the model's own figures, in a sentence."""

import importlib
import re

import pytest

door = importlib.import_module("minicaffe.kernels.cpu._inspect")
family = importlib.import_module("minicaffe.kernels.cpu.convolution")


def plan(x, y, kernel, keeps=False):
    axes = len(kernel)
    return family.plan(x, y, kernel, (1,) * axes, (0,) * axes, (1,) * axes, 1, keeps)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("function", ["forward", "backward_data", "backward_weight"])
def test_the_way_is_the_plans_and_the_cheapest_of_those_compared(function, keeps):
    found = plan((64, 20, 12, 12), (64, 50, 8, 8), (5, 5), keeps)
    taken = found.ways[["forward", "backward_data", "backward_weight"].index(function)]
    said = door.way(found, function)
    assert said.startswith(f"{taken}: ")
    first, *others = map(float, re.findall(r"([\d.e+-]+) ms", said))
    assert others and first <= min(others) and others == sorted(others)


@pytest.mark.parametrize(
    ("x", "y", "kernel", "way"),
    [
        ((2, 4, 8, 8), (2, 8, 8, 8), (1, 1), "pointwise: "),
        ((1, 2, 4, 5, 6), (1, 3, 2, 3, 4), (3, 3, 3), "any_axes: more than two spatial axes"),
    ],
)
def test_where_nothing_is_compared_the_reason_alone_is_told(x, y, kernel, way):
    said = door.way(plan(x, y, kernel), "forward")
    assert said.startswith(way) and "ms" not in said


def test_all_three_products_in_one():
    said = door.way(plan((2, 4, 8, 8), (2, 8, 8, 8), (1, 1)))
    assert re.findall(r"(\w[\w ]*): pointwise", said) == [
        "forward", "backward to the images", "backward to the weights",
    ]  # fmt: skip


def test_what_takes_no_way_has_none():
    found = plan((2, 4, 8, 8), (2, 8, 8, 8), (1, 1))
    assert (
        door.way(found, "backward_bias") == door.way("no plan") == door.way(None, "forward") == ""
    )
