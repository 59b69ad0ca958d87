"""Fused neighbours: which they are, and that nobody can tell but by the time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import minicaffe
from minicaffe.cli import _warm_up_jobs as warmup
from minicaffe.cli import main
from minicaffe.kernels.cpu._compile.jit import Kernel, known
from minicaffe.machine.threads import num_threads, set_num_threads
from minicaffe.net.debug_info import DebugInfo
from minicaffe.net.fusion import TYPES
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from minicaffe.proto.text import format_text, parse_text
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver
from tests.core.test_allocation import peak_of

Array = NDArray[np.float32]

SHAPE = "input_param { shape { dim: 3 dim: 4 dim: 5 dim: 7 } }"
INPUT = f'layer {{ name: "data" type: "Input" top: "data" {SHAPE} }}'
FILLER = 'filler { type: "uniform" min: 0.5 max: 2 }'
BIAS = 'bias_term: true bias_filler { type: "uniform" min: -1 max: 1 }'


def layer(kind: str, bottom: str, top: str, text: str = "", name: str = "") -> str:
    tops = " ".join(f'top: "{each}"' for each in top.split())
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    name = name or f"{top.split()[0]}_{kind.lower()}"
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {text} }}'


def convolution(bottom: str, top: str, text: str = "") -> str:
    return layer(
        "Convolution", bottom, top, "convolution_param { num_output: 4 kernel_size: 3 pad: 1 "
        f'bias_term: false weight_filler {{ type: "xavier" }} }} {text}',
    )  # fmt: skip


def norm(bottom: str, top: str, text: str = "") -> str:
    return layer("BatchNorm", bottom, top, f"batch_norm_param {{ {text} }}")


def scale(blob: str, text: str = BIAS, more: str = "") -> str:
    return layer("Scale", blob, blob, f"scale_param {{ {FILLER} {text} }} {more}")


def relu(blob: str, slope: float = 0) -> str:
    return layer("ReLU", blob, blob, f"relu_param {{ negative_slope: {slope} }}")


def loss(bottom: str) -> str:
    score = layer("InnerProduct", bottom, "score", "inner_product_param { num_output: 3 "
                  'weight_filler { type: "xavier" } }')  # fmt: skip
    square = layer("Reduction", "score", "loss", "reduction_param { operation: SUMSQ coeff: 0.1 } "
                   "loss_weight: 1")  # fmt: skip
    return f"{score} {square}"


def filters(text: str, shape: str = SHAPE) -> list[str]:
    """A convolution with a bias, and ReLU."""
    data = f'layer {{ name: "data" type: "Input" top: "data" {shape} }}'
    param = f"""convolution_param {{ weight_filler {{ type: "xavier" }} {text}
        bias_filler {{ type: "uniform" min: -1 max: 1 }} }}"""
    return [data, layer("Convolution", "data", "a", param), relu("a"), loss("a")]


BLOCK = [
    INPUT,
    convolution("data", "a"), norm("a", "a"), scale("a"), relu("a"),
    convolution("a", "b"), norm("b", "b"), scale("b"), relu("b"),
    convolution("b", "c"), norm("c", "c"), scale("c"),
    layer("Eltwise", "a c", "d"), relu("d"),
    convolution("d", "e"), norm("e", "e"),
    layer("Eltwise", "d e", "f"), relu("f"),
    loss("f"),
]  # fmt: skip


def chain(*layers: str, before: str = "") -> list[str]:
    """A convolution, what is given, a loss of `a`."""
    return [INPUT, before or convolution("data", "a"), *layers, loss("a")]


SUM = [INPUT, convolution("data", "b"), convolution("data", "c"), layer("Eltwise", "b c", "a")]
GIVEN = "use_global_stats: true"
CHAINS = {
    "three": chain(norm("a", "a"), scale("a"), relu("a")),
    "no bias": chain(norm("a", "a"), scale("a", ""), relu("a")),
    "a slope": chain(norm("a", "a"), scale("a"), relu("a", 0.1)),
    "a slope above 1": chain(norm("a", "a"), scale("a"), relu("a", 1.5)),
    "without ReLU": chain(norm("a", "a"), scale("a")),
    "without Scale": chain(norm("a", "a"), relu("a")),
    "eps, fraction": chain(norm("a", "a", "eps: 0.1 moving_average_fraction: 0.5"), scale("a")),
    "given": chain(norm("a", "a", GIVEN), scale("a"), relu("a")),
    "given, without ReLU": chain(norm("a", "a", GIVEN), scale("a")),
    "given, without Scale": chain(norm("a", "a", GIVEN), relu("a")),
    "not in place": chain(norm("x", "a"), scale("a"), relu("a"), before=convolution("data", "x")),
    "given, not in place": chain(
        norm("x", "a", GIVEN), scale("a"), relu("a"), before=convolution("data", "x")
    ),
    "frozen scale": chain(
        norm("a", "a"), scale("a", more="param { lr_mult: 0 } param { lr_mult: 1 }"), relu("a")
    ),
    "frozen bias": chain(
        norm("a", "a"), scale("a", more="param { lr_mult: 1 } param { lr_mult: 0 }"), relu("a")
    ),
    "nothing below learns": chain(norm("data", "a"), scale("a"), relu("a"), before=" "),
    "a sum": [*SUM, relu("a"), loss("a")],
    "a sum with a slope": [*SUM, relu("a", 0.3), loss("a")],
    "a sum that two read": [
        *SUM, relu("a"), layer("Power", "a", "d"), layer("Eltwise", "a d", "e"), loss("e")
    ],
    "a sum that three read": [
        *SUM, relu("a"), layer("Power", "a", "d"), layer("Eltwise", "a a d", "e"), loss("e")
    ],
    "a sum with coefficients": [
        *SUM[:-1],
        layer("Eltwise", "b c", "a", "eltwise_param { coeff: 0.5 coeff: -2 }"), relu("a"),
        layer("Eltwise", "a b", "d"), layer("Eltwise", "a d", "e"), loss("e"),
    ],
    "one bottom needs no gradient": [
        INPUT, convolution("data", "b"), layer("Eltwise", "b data", "a"), relu("a"), loss("a")
    ],
    "filters": filters("num_output: 7 kernel_size: 5 stride: 2 pad: 1"),
    "filters with a slope": [*filters("num_output: 20 kernel_size: 3")[:2], relu("a", 0.2),
                             loss("a")],
    "many filters, by Winograd": filters(
        "num_output: 40 kernel_size: 3 pad: 1",
        "input_param { shape { dim: 2 dim: 48 dim: 17 dim: 14 } }",
    ),
    "a filter for each channel": filters("num_output: 4 group: 4 kernel_size: 3 pad: 1"),
    "filters along three axes": filters(
        "num_output: 3 kernel_size: 2",
        "input_param { shape { dim: 2 dim: 2 dim: 3 dim: 4 dim: 5 } }",
    ),
}  # fmt: skip

UNFIT = {
    "a scale for each number": chain(norm("a", "a"), scale("a", "axis: 1 num_axes: 3"), relu("a")),
    "a single scale": chain(norm("a", "a"), scale("a", "num_axes: 0"), relu("a")),
    "one number a channel": chain(
        norm("a", "a"), scale("a"), relu("a"),
        before=layer("InnerProduct", "data", "a", "inner_product_param { num_output: 5 "
                     'weight_filler { type: "xavier" } }'),
    ),
    "a product": [*SUM[:-1], layer("Eltwise", "b c", "a", "eltwise_param { operation: PROD }"),
                  relu("a"), loss("a")],
    "a sum of three": [*SUM[:-1], layer("Eltwise", "b c data", "a"), relu("a"), loss("a")],
    "a sum in place": [*SUM[:-1], layer("Eltwise", "b c", "b", name="sum"), relu("b"), loss("b")],
}  # fmt: skip


def parsed(layers: list[str], phase: int = minicaffe.TRAIN) -> pb.NetParameter:
    param = parse_text("\n".join(layers), pb.NetParameter())
    param.state.phase = phase  # type: ignore[assignment]
    return param


def numbers(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2 + 1


def make_solver(param: pb.NetParameter, *, fuse: bool, **more: Any) -> Solver:
    solver_param = pb.SolverParameter(
        type="SGD", base_lr=0.01, lr_policy="fixed", momentum=0.9, weight_decay=0.01,
        max_iter=100, random_seed=5, **more,
    )  # fmt: skip
    solver_param.net_param.CopyFrom(param)
    solver = create_solver(solver_param, device="cpu", fuse=fuse)
    for index, blob in enumerate(solver.net.input_blobs):
        if len(blob.shape) > 1:  # not labels
            blob.data[...] = numbers(index, blob.shape)
    for index, each in enumerate(solver.net.layers):  # statistics that are not 0
        if each.type == "BatchNorm":
            each.blobs[0].data[...] = numbers(index, each.blobs[0].shape)
            each.blobs[1].data[...] = 1 + numbers(index, each.blobs[1].shape) ** 2
            each.blobs[2].data[...] = 1.5
    return solver


def contents(net: Net) -> dict[str, Array]:
    """Everything that a net holds, by name."""
    found = {}
    for name, blob in net.blob_dict.items():
        found[f"{name} data"], found[f"{name} diff"] = blob.data.copy(), blob.diff.copy()
    for name, each in zip(net.layer_names, net.layers, strict=True):
        for index, blob in enumerate(each.blobs):
            found[f"{name}/{index} data"] = blob.data.copy()
            found[f"{name}/{index} diff"] = blob.diff.copy()
    return found


def assert_same(one: dict[str, Array], other: dict[str, Array], error: float = 5e-6) -> None:
    """Within an error of the largest value of an array; of several passes, by default."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        largest = max(np.abs(values).max(initial=0), 1e-3)
        np.testing.assert_allclose(other[name], values, rtol=0, atol=error * largest, err_msg=name)


def groups(net: Net) -> list[list[str]]:
    return [[node.layer.type for node in group.nodes] for group in net.groups]


# --- the same ------------------------------------------------------------------------------------


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


# --- one pass in groups, another one layer by layer ----------------------------------------------


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


# --- which layers --------------------------------------------------------------------------------


def test_the_groups_of_a_block() -> None:
    net = Net(parsed(BLOCK), device="cpu")
    assert groups(net) == [
        ["BatchNorm", "Scale", "ReLU"],
        ["BatchNorm", "Scale", "ReLU"],
        ["BatchNorm", "Scale"],
        ["Eltwise", "ReLU", "Split"],
        ["Eltwise", "ReLU"],
    ]
    assert (net.groups[0].first, net.groups[0].last) == (2, 4)
    assert len(net.layers) == len(parsed(BLOCK).layer) + 2


APART = {
    "two layers read it": chain(
        norm("a", "b"), layer("ReLU", "b", "c"), layer("Scale", "b", "d")
    ),
    "top and bottom differ": chain(norm("a", "b"), layer("Scale", "b", "c"), relu("c")),
    "two bottoms": chain(
        layer("DummyData", "", "s", "dummy_data_param { shape { dim: 4 } }").replace(
            'bottom: ""', ""
        ),
        norm("a", "a"), layer("Scale", "a s", "a"),
    ),
    "another order": chain(scale("a"), norm("a", "a"), layer("TanH", "a", "a"), relu("a")),
}  # fmt: skip


@pytest.mark.parametrize("layers", [*APART.values(), *UNFIT.values()], ids=[*APART, *UNFIT])
def test_what_is_left_alone(layers: list[str]) -> None:
    assert groups(Net(parsed(layers), device="cpu")) == []


def test_a_shape_that_does_not_fit_any_more_runs_one_by_one() -> None:
    found = []
    for fuse in (False, True):
        net = make_solver(parsed([INPUT, norm("data", "a"), scale("a"), relu("a")]), fuse=fuse).net
        net.forward_pass()
        net.input_blobs[0].reshape(6, 4, 1, 1)
        net.input_blobs[0].data[...] = numbers(1, (6, 4, 1, 1))
        net.forward_pass()
        found.append(contents(net))
    assert_same(*found)


def test_only_where_the_device_has_the_kernel() -> None:
    assert Net(parsed(BLOCK), device="reference").groups == []


def test_only_if_wanted() -> None:
    assert Net(parsed(BLOCK), device="cpu", fuse=False).groups == []


def test_a_solver_fuses_test_nets_too() -> None:
    for fuse in (False, True):
        solver = make_solver(parsed(BLOCK), fuse=fuse, test_iter=[1], test_interval=1)
        assert [bool(net.groups) for net in (solver.net, *solver.test_nets)] == [fuse, fuse]


def test_scale_needs_no_memory_of_its_own_in_a_group() -> None:
    net = make_solver(parsed(BLOCK), fuse=True).net
    net.forward_pass()
    batch_norm, scale_layer = net.layers[2:4]
    assert scale_layer.input.data.storage is batch_norm.x_norm.data.storage  # type: ignore[attr-defined]


def test_golden_net_gives_the_same(goldens: Path) -> None:
    param = read_net(str(goldens / "nets" / "resnet_small.prototxt"))
    found = []
    for fuse in (False, True):
        net = make_solver(param, fuse=fuse).net
        net.forward_pass()
        net.backward_pass()
        found.append(contents(net))
    assert_same(*found)


def test_the_warm_up_calls_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def note(kernel: Kernel[Any], *args: Any) -> None:
        called.add(kernel.__name__)

    monkeypatch.setattr(Kernel, "__call__", note)
    next(job for job in warmup.serial_jobs() if job.name == "fused layers").run()
    families = {f"minicaffe.kernels.cpu.{name}" for name in TYPES.values()}
    assert {kernel.__name__ for kernel in known if kernel.__module__ in families} <= called


# --- what is seen of it --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_the_summary_shows_the_groups(
    phase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("\n".join(BLOCK))
    assert main(["summary", "-model", str(path), "-phase", phase]) == 0
    lines = capsys.readouterr().out.splitlines()
    column = lines[0].index("fused"), lines[0].index("fused") + len("fused")
    found = {line.split()[0]: line[slice(*column)].strip() for line in lines[2:23]}
    assert {name: number for name, number in found.items() if number} == {
        "a_batchnorm": "1", "a_scale": "1", "a_relu": "1",
        "b_batchnorm": "2", "b_scale": "2", "b_relu": "2",
        "c_batchnorm": "3", "c_scale": "3",
        "d_eltwise": "4", "d_relu": "4", "d_d_relu_0_split": "4",
        "f_eltwise": "5", "f_relu": "5",
    }  # fmt: skip
    assert "fused: 5 groups of layers, none with -nofuse" in lines


@pytest.mark.parametrize(("flags", "count"), [([], 5), (["-nofuse"], 0), (["-fuse=false"], 0)])
def test_a_flag_turns_it_off(
    flags: list[str], count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = pb.NetParameter()
    net.CopyFrom(parsed(BLOCK))
    solver = pb.SolverParameter(
        base_lr=0.01, lr_policy="fixed", max_iter=1, snapshot_prefix=str(tmp_path / "out"),
        snapshot=10,
    )  # fmt: skip
    solver.net_param.CopyFrom(net)
    (tmp_path / "solver.prototxt").write_text(format_text(solver))
    (tmp_path / "net.prototxt").write_text("\n".join(BLOCK))
    line = "5 groups of neighbouring layers run as one."
    assert main(["train", "-solver", str(tmp_path / "solver.prototxt"), *flags]) == 0
    assert (line in capsys.readouterr().err) == (count > 0)
    weights = str(tmp_path / "out_iter_1.caffemodel")
    model = ["-model", str(tmp_path / "net.prototxt"), "-weights", weights]
    assert main(["test", *model, "-iterations", "1", *flags]) == 0
    assert (line in capsys.readouterr().err) == (count > 0)
