"""Winograd's convolution on cpu: numbers, errors, the switch, the same bits every time."""

import os
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.cli import _warm_up_jobs as warmup
from minicaffe.device import load_kernel
from minicaffe.errors import DeviceError
from minicaffe.kernels.cpu import convolution
from minicaffe.kernels.cpu._compile import jit as _jit
from minicaffe.kernels.cpu.convolution import choice
from minicaffe.kernels.cpu.convolution.choice import CHANNELS, IMAGES, LINES
from minicaffe.kernels.cpu.convolution.plan import DATA, FORWARD, WEIGHT, Plan, Way
from minicaffe.kernels.cpu.convolution.winograd import tiles
from minicaffe.kernels.cpu.convolution.winograd import transforms as arithmetic
from minicaffe.kernels.cpu.gemm.micro_kernel import COLUMNS
from tests.kernels.plain_python import printed_without_jit

FILTERINGS = range(len(arithmetic.FILTERINGS))
NAMES = [f"F({f.m},{f.r})" for f in arithmetic.FILTERINGS]

# images, channels, outputs, (height, width), pad, groups
SHAPES = [
    (2, 8, 16, (12, 12), (1, 1), 1),
    (3, 5, 7, (13, 11), (0, 2), 1),
    (1, 1, 1, (5, 6), (1, 1), 1),
    (1, 3, 2, (6, 5), (0, 0), 1),
    (2, 6, 9, (7, 40), (2, 0), 3),
    (1, 200, 40, (14, 14), (1, 1), 1),  # more channels than are summed at once
    (2, 20, 34, (9, 70), (5, 4), 2),  # padding wider than the filter
    (5, 4, 33, (5, 5), (2, 2), 1),
    (1, 2, 3, (6, 300), (1, 1), 1),  # rows of more tiles than a block would have
    (33, 3, 18, (8, 8), (1, 1), 1),  # more images than lanes
    (17, 34, 4, (6, 7), (0, 1), 2),
]


class Case:
    """A convolution with stride 1, random images, filters and gradients, to run on a device."""

    def __init__(self, shape: Any, kernel: int, rectified: bool = False) -> None:
        images, channels, outputs, size, pad, groups = shape
        out = tuple(n + 2 * p - kernel + 1 for n, p in zip(size, pad, strict=True))
        rng = np.random.default_rng(3)
        self.x = rng.standard_normal((images, channels, *size), np.float32)
        if rectified:
            self.x = np.maximum(self.x, 0)
        depth = channels // groups * kernel**2
        self.weight = rng.standard_normal((outputs, channels // groups, kernel, kernel), np.float32)
        self.weight *= np.float32((depth * (0.5 if rectified else 1)) ** -0.5)
        self.bias = rng.standard_normal(outputs, np.float32)
        self.dy = rng.standard_normal((images, outputs, *out), np.float32)
        self.geometry = ((kernel, kernel), (1, 1), pad, (1, 1), groups)

    def plan(self, device: str = "cpu", ways: tuple[Way, ...] = ()) -> Any:
        ops = load_kernel("convolution", device)
        made = ops.plan(self.x.shape, self.dy.shape, *self.geometry)
        return replace(made, ways=ways) if ways else made

    def prepare(self, device: str, ways: tuple[Way, ...] = ()) -> Any:
        """A function that runs all three products, and what they write: y, dx, dW (on ones)."""
        ops = load_kernel("convolution", device)
        plan = self.plan(device, ways)
        scratch = np.full(ops.scratch_size(plan), np.nan, np.float32)
        y, dx = np.full_like(self.dy, np.nan), np.full_like(self.x, np.nan)
        dweight = np.ones_like(self.weight)

        def step() -> None:
            ops.forward(plan, self.x, self.weight, self.bias, y, scratch)
            ops.backward_data(plan, self.dy, self.weight, dx, scratch)
            ops.backward_weight(plan, self.x, self.dy, dweight, scratch)

        return step, [y, dx, dweight]

    def run(self, device: str, ways: tuple[Way, ...] = ()) -> list[Any]:
        step, results = self.prepare(device, ways)
        step()
        return results


LANES = {  # the ways of forward, backward to the images, and to the weights
    "lines": (LINES,) * 3,
    "images and channels": (IMAGES, IMAGES, CHANNELS),
}
EVERY = [
    pytest.param(tuple(Way(file, which) for file in files), id=f"{NAMES[which]} {lanes}")
    for which in FILTERINGS
    for lanes, files in LANES.items()
]


@pytest.fixture(params=EVERY)
def ways(request: pytest.FixtureRequest) -> tuple[Way, ...]:
    """Each of the filterings, with either in the lanes."""
    ways: tuple[Way, ...] = request.param
    return ways


def taps(ways: tuple[Way, ...]) -> int:
    return arithmetic.FILTERINGS[ways[0].filtering].r


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_reference(ways: tuple[Way, ...], shape: Any) -> None:
    case = Case(shape, taps(ways))
    assert choice.fits(case.plan().sizes, ways[0].filtering)
    for expected, actual in zip(case.run("reference"), case.run("cpu", ways), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * expected.std())


@pytest.mark.parametrize("shape", SHAPES[1:8:2], ids=str)
def test_bits_are_the_same_for_any_number_of_threads(ways: tuple[Way, ...], shape: Any) -> None:
    case = Case(shape, taps(ways))
    alone = case.run("cpu", ways)
    try:
        for threads in (2, 2, 3):  # 3 where the pool has so many
            minicaffe.set_num_threads(min(threads, int(os.environ["NUMBA_NUM_THREADS"])))
            for one, other in zip(alone, case.run("cpu", ways), strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        minicaffe.set_num_threads(1)


@pytest.mark.parametrize("rectified", [False, True], ids=["normal", "rectified"])
@pytest.mark.parametrize("channels", [16, 256])
def test_errors(ways: tuple[Way, ...], channels: int, rectified: bool) -> None:
    """Outputs and gradients of variance 1, against the exact ones: the documented bounds."""
    bound = 2.5e-6 if NAMES[ways[0].filtering] == "F(2,3)" else 1.5e-5
    case = Case((2, channels, 24, (13, 13), (1, 1), 1), taps(ways), rectified)
    case.bias[:] = 0
    dx_size = float((case.dy.shape[1] * case.weight[0, 0].size * case.weight.var()) ** 0.5)
    sizes = [1, dx_size, float((case.dy[:, 0].size * (case.x**2).mean()) ** 0.5)]
    for size, expected, actual in zip(sizes, exact(case), case.run("cpu", ways), strict=True):
        if actual.shape == case.weight.shape:
            actual = actual - 1
        assert abs(actual - expected).max() < bound * size


def test_the_bits_do_not_depend_on_the_blocks_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((3, 40, 24, (30, 34), (1, 1), 1), 3)
    way = (Way(LINES, 1),) * 3
    found, blocks = [], set()
    for cache in (256 << 10, 1 << 20, 64 << 20):
        monkeypatch.setattr(tiles, "cache_bytes", {2: cache}.__getitem__)
        blocks.add(tiles.tiles_near(1, case.plan().sizes))
        found.append(case.run("cpu", way))
    assert max(blocks) == tiles.TILES > min(blocks) >= COLUMNS
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def exact(case: Case) -> list[Any]:
    """y, dx and dW in float64."""
    x, dy, w = (a.astype(np.float64) for a in (case.x, case.dy, case.weight))
    pad, kernel = case.geometry[2][0], w.shape[-1]
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dwide, y, dw = np.zeros_like(wide), np.zeros_like(dy), np.zeros_like(w)
    high, across = dy.shape[2:]
    for r in range(kernel):
        for s in range(kernel):
            seen = np.s_[:, :, r : r + high, s : s + across]
            y += np.einsum("ncij,oc->noij", wide[seen], w[:, :, r, s])
            dwide[seen] += np.einsum("noij,oc->ncij", dy, w[:, :, r, s])
            dw[:, :, r, s] = np.einsum("ncij,noij->oc", wide[seen], dy)
    return [y, dwide[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw]


def test_a_step_allocates_nothing(ways: tuple[Way, ...]) -> None:
    case = Case((8, 16, 16, (24, 24), (1, 1), 1), taps(ways))
    step, _ = case.prepare("cpu", ways)
    step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        step()
        assert tracemalloc.get_traced_memory()[1] - before < 20_000
    finally:
        tracemalloc.stop()


# ---- the matrices


@pytest.mark.parametrize("filtering", arithmetic.FILTERINGS, ids=NAMES)
def test_matrices_filter(filtering: arithmetic.Filtering) -> None:
    rng = np.random.default_rng(5)
    d, g = rng.standard_normal(filtering.m + filtering.r - 1), rng.standard_normal(filtering.r)
    found = filtering.a.T @ ((filtering.g @ g) * (filtering.bt @ d))
    np.testing.assert_allclose(found, np.correlate(d, g), rtol=1e-10)


# ---- the switch


def large() -> Plan:
    plan: Plan = Case((8, 64, 64, (28, 28), (1, 1), 1), 3).plan()
    return plan


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read again at every call, not once."""
    monkeypatch.setattr(choice, "allowed", choice.allowed.__wrapped__)
    monkeypatch.delenv("MINICAFFE_WINOGRAD", raising=False)


@pytest.mark.parametrize(
    ("word", "expected"), [("off", -1), ("exact", 0), ("fast", 1), ("", 1), (None, 1)]
)
def test_the_user_chooses(
    asked_anew: None, word: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if word is not None:
        monkeypatch.setenv("MINICAFFE_WINOGRAD", word)
    assert large().ways[FORWARD].filtering == expected


def test_an_unknown_word(asked_anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICAFFE_WINOGRAD", "quick")
    with pytest.raises(DeviceError, match=r"MINICAFFE_WINOGRAD=quick.*off, exact, fast"):
        large()


@pytest.mark.parametrize(
    "case",
    [
        ((8, 64, 28, 28), (8, 64, 14, 14), (3, 3), (2, 2), (1, 1), (1, 1), 1),
        ((8, 64, 28, 28), (8, 64, 26, 26), (3, 3), (1, 1), (1, 1), (2, 2), 1),
        ((8, 64, 28, 28), (8, 64, 28, 26), (1, 3), (1, 1), (0, 0), (1, 1), 1),
        ((8, 64, 28, 28), (8, 64, 28, 28), (7, 7), (1, 1), (3, 3), (1, 1), 1),
        ((8, 64, 28, 28), (8, 64, 28, 28), (3, 3), (1, 1), (1, 1), (1, 1), 64),
        ((8, 3, 28, 28), (8, 64, 28, 28), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ],
    ids=["stride", "dilation", "1x3", "7x7", "depthwise", "few channels"],
)
def test_other_convolutions_are_done_otherwise(case: Any) -> None:
    sizes = convolution.plan(*case).sizes
    many = (DATA,) if min(sizes.channels, sizes.outputs) > 3 else ()  # to 3, from 64: by the width
    for product in (FORWARD, *many, WEIGHT):
        assert choice.decide(sizes, product, tuple(FILTERINGS)).file != choice.LINES


def test_the_warm_up_calls_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def note(kernel: Any, *args: Any, **kwargs: Any) -> None:
        called.add(kernel.__name__)
        kernel.on_one_thread(*args, **kwargs)

    monkeypatch.setattr(choice, "allowed", lambda: tuple(FILTERINGS))
    monkeypatch.setattr(_jit.Kernel, "__call__", note)
    for job in warmup.serial_jobs():
        if job.name in ("wide convolution", "LeNet"):
            job.run()
    kernels = {k.__name__ for k in _jit.known if ".winograd." in k.__module__}
    assert kernels <= called and len(kernels) >= 4


# ---- plain Python

PLAIN = """
import numpy as np
from minicaffe.kernels.cpu.convolution.plan import Way
from tests.kernels.convolution.test_winograd import LANES, Case
for lanes, which, r in (
    ("lines", 0, 3), ("lines", 1, 3), ("lines", 2, 5),
    ("images and channels", 0, 3), ("images and channels", 2, 5),
):
    case = Case((1, 2, 3, (7, 6), (r // 2, r // 2), 1), r)
    ways = tuple(Way(file, which) for file in LANES[lanes])
    for one, two in zip(case.run("reference"), case.run("cpu", ways)):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
print("equal")
"""


def test_runs_as_plain_python() -> None:
    assert printed_without_jit(PLAIN) == "equal"
