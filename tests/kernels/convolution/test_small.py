"""Convolution of small planes on cpu: images in the lanes of vectors, and sums of few taps; and
the choice between all ways.
"""

import os
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.kernels.cpu import convolution
from minicaffe.kernels.cpu._vector.instructions import LANES
from minicaffe.kernels.cpu.convolution import choice, dot_products
from minicaffe.kernels.cpu.convolution.choice import (
    CHANNELS,
    DEPTHWISE,
    DIRECT,
    DOT_PRODUCTS,
    IMAGES,
    IMAGES_IN_LANES,
    LINES,
    POINTWISE,
)
from minicaffe.kernels.cpu.convolution.plan import DATA, FORWARD, WEIGHT, Way
from tests.kernels.convolution.test_ways import Case
from tests.kernels.plain_python import printed_without_jit
from tests.one_layer import OneLayer

# images, channels, outputs, (height, width), kernel, stride, pad, dilation, groups
GEOMETRIES = [
    (17, 20, 50, (12, 12), (5, 5), (1, 1), (0, 0), (1, 1), 1),
    (1, 1, 20, (28, 28), (5, 5), (1, 1), (0, 0), (1, 1), 1),
    (33, 3, 7, (5, 9), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (16, 4, 6, (7, 7), (3, 3), (2, 2), (1, 1), (1, 1), 2),
    (5, 6, 9, (11, 8), (3, 2), (1, 3), (2, 0), (2, 3), 3),
    (9, 70, 5, (4, 3), (3, 3), (1, 1), (1, 1), (1, 1), 1),  # sums of more than one block
    (2, 2, 150, (3, 3), (2, 2), (1, 1), (0, 0), (1, 1), 1),  # outputs of more than one block
    (19, 3, 5, (2, 2), (3, 3), (1, 1), (4, 5), (1, 1), 1),  # pixels that see only padding
    (3, 2, 4, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (20, 5, 3, (4, 20), (4, 5), (1, 1), (3, 2), (1, 1), 1),
    (6, 1, 6, (35, 34), (3, 4), (2, 2), (1, 1), (1, 1), 1),  # lines of 16 pixels from here on
    (3, 2, 8, (18, 16), (3, 5), (1, 1), (1, 2), (1, 1), 2),
    (10, 1, 3, (9, 33), (1, 3), (1, 2), (0, 0), (1, 1), 1),
    (4, 3, 5, (8, 20), (3, 3), (1, 1), (0, 2), (2, 4), 1),
]


def small(case: Case) -> Any:
    """The plan of a case with the ways for small planes, wherever they can be."""
    plan = case.plan("cpu")
    strided = (plan.sizes.stride_h, plan.sizes.stride_w) != (1, 1)
    data = DIRECT if strided else IMAGES_IN_LANES
    weight = DOT_PRODUCTS if dot_products.fits(plan.sizes) else DIRECT
    return replace(plan, ways=(Way(IMAGES_IN_LANES), Way(data), Way(weight)))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_agrees_with_reference(geometry: Any) -> None:
    case = Case(geometry)
    for expected, actual in zip(case.run("reference"), case.run("cpu", small(case)), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.skipif(LANES > 8, reason="lines of 24 pixels are not whole vectors")
def test_many_of_the_geometries_are_for_scalar_products() -> None:
    assert sum(dot_products.fits(Case(each).plan("cpu").sizes) for each in GEOMETRIES) >= 4


@pytest.mark.parametrize("geometry", [GEOMETRIES[i] for i in (0, 1, 2, 4, 10, 11)], ids=str)
def test_bits_are_the_same_for_any_number_of_threads(geometry: Any) -> None:
    case = Case(geometry)
    alone = case.run("cpu", small(case))
    try:
        for threads in (2, 2, 3):  # 3 where the pool has so many
            minicaffe.set_num_threads(min(threads, int(os.environ["NUMBA_NUM_THREADS"])))
            for one, other in zip(alone, case.run("cpu", small(case)), strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        minicaffe.set_num_threads(1)


def test_neighbours_of_the_results_are_left_alone() -> None:
    case = Case(GEOMETRIES[2])
    plan = small(case)
    scratch = np.empty(convolution.scratch_size(plan), np.float32)
    for like, run in (
        (case.dy, lambda y: convolution.forward(plan, case.x, case.weight, case.bias, y, scratch)),
        (case.x, lambda dx: convolution.backward_data(plan, case.dy, case.weight, dx, scratch)),
    ):
        memory = np.full(like.size + 64, 7, np.float32)
        run(memory[32:-32].reshape(like.shape))
        assert (memory[:32] == 7).all() and (memory[-32:] == 7).all()


# ---- the choice


def shape(
    images: int, channels: int, outputs: int, size: int, kernel: int, stride: int = 1, pad: int = 0,
    groups: int = 1,
) -> Any:  # fmt: skip
    out = (size + 2 * pad - kernel) // stride + 1
    x, y = (images, channels, size, size), (images, outputs, out, out)
    return x, y, (kernel, kernel), (stride, stride), (pad, pad), (1, 1), groups


@pytest.mark.skipif(LANES != 8, reason="other vectors have other costs")
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (shape(64, 20, 50, 12, 5), [IMAGES, IMAGES_IN_LANES, CHANNELS]),
        (shape(64, 1, 20, 28, 5), [DIRECT, DIRECT, DOT_PRODUCTS]),
        (shape(100, 32, 64, 8, 5, 1, 2), [IMAGES, IMAGES, CHANNELS]),
        # lines of tiles that fill the lanes
        (shape(100, 32, 32, 16, 5, 1, 2), [LINES] * 2 + [CHANNELS]),
        # few images; filters that are larger than what they are used for
        (shape(8, 512, 512, 7, 3, 1, 1), [LINES] * 3),
        # no filtering, and nothing in vain
        (shape(16, 3, 96, 227, 11, 4), [DIRECT] * 3),
        # lines of 25 pixels; outputs that fill the vectors
        (shape(64, 1, 20, 29, 5), [DIRECT] * 3),
        (shape(64, 1, 32, 28, 5), [DIRECT] * 3),
        # files of their own
        (shape(64, 64, 256, 14, 1), [POINTWISE] * 3),
        (shape(8, 64, 64, 14, 3, 1, 1, 64), [DEPTHWISE] * 3),
    ],
)
def test_the_choice(case: Any, expected: list[str]) -> None:
    """The ways of forward, backward to the images, and to the weights."""
    assert [way.file for way in convolution.plan(*case).ways] == expected


def test_ways_are_chosen_when_a_layer_is_reshaped(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 }'
    decided = []
    real = choice.decide

    def decide(*args: Any, **options: Any) -> Way:
        decided.append(args[1])
        return real(*args, **options)

    monkeypatch.setattr(choice, "decide", decide)
    convolution._plan.cache_clear()
    case = OneLayer(text, np.ones((1, 2, 7, 23)), device="cpu")
    assert decided == [FORWARD, DATA, WEIGHT]
    for _ in range(2):
        case.backward(np.ones_like(case.forward()))
    assert len(decided) == 3
    case.forward(np.ones((1, 2, 7, 29)))
    assert len(decided) == 6


def test_a_plan_says_which_ways_it_takes() -> None:
    plan = convolution.plan(*shape(8, 64, 64, 28, 3, 1, 1))
    plan = replace(plan, ways=(Way(LINES, 1), Way(DIRECT), Way(CHANNELS, 2)))
    assert str(plan) == (
        "8 x 64 x 28 x 28 -> 8 x 64 x 28 x 28: forward: winograd/lines 4 x 4, "
        "backward to the images: direct, backward to the weights: winograd/channels 2 x 2"
    )
    assert convolution.ways(plan) == ("winograd/lines 4 x 4", "direct", "winograd/channels 2 x 2")


def test_a_deconvolution_takes_the_ways_of_its_convolution_the_other_way_round() -> None:
    text = 'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 3 }'
    layer = OneLayer(text, np.ones((1, 4, 5, 5)), device="cpu").layer
    layer.plan = replace(layer.plan, ways=(Way(DIRECT), Way(IMAGES, 0), Way(CHANNELS, 0)))
    assert layer.ways() == ("winograd/images 2 x 2", "direct", "winograd/channels 2 x 2")


@pytest.mark.parametrize("word", ["off", "exact"])
def test_the_user_decides_about_filterings(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "allowed", choice.allowed.__wrapped__)
    monkeypatch.setenv("MINICAFFE_WINOGRAD", word)
    for case in (shape(64, 20, 50, 12, 5), shape(64, 64, 64, 8, 3, 1, 1)):
        for way in convolution.plan(*case).ways:
            assert way.filtering in ((-1,) if word == "off" else (-1, 0))


# ---- plain Python

PLAIN = """
import numpy as np
from tests.kernels.convolution.test_small import Case, small
for weight, geometry in (
    ("direct", (3, 2, 3, (6, 5), (3, 3), (1, 1), (1, 1), (1, 1), 1)),
    ("dot_products", (2, 1, 5, (4, 18), (2, 3), (1, 1), (0, 0), (1, 1), 1)),
):
    case = Case(geometry)
    plan = small(case)
    assert plan.ways[2].file == weight
    for one, two in zip(case.run("reference"), case.run("cpu", plan)):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
print("equal")
"""


def test_runs_as_plain_python() -> None:
    assert printed_without_jit(PLAIN) == "equal"


def test_what_preparing_filters_takes_does_not_count_where_they_are_kept() -> None:
    sizes = convolution.plan(*shape(1, 64, 64, 28, 3, 1, 1)).sizes
    dear = {kind: (*each[:-1], 1e9) for kind, each in choice.FIGURES[LANES].items()}
    fewest = {"winograd/lines": (0.0, 0.0, 0.0, 0.0, 1e12)}  # nothing else takes any time
    for product in (FORWARD, DATA):
        decide = partial(choice.decide, sizes, product, (1,), {**dear, **fewest})
        assert decide().file != LINES
        assert decide(kept=True).file == LINES
