"""What layers cost, and the table that `minicaffe time` makes of it."""

import re
from pathlib import Path

import pytest

import minicaffe
from minicaffe.cli import main
from minicaffe.errors import DeviceError
from minicaffe.layer import known_types
from minicaffe.layer_example import example_net, needs_files
from minicaffe.net import roofline
from minicaffe.net.cost import Cost, layer_cost
from minicaffe.net.roofline import Peak, measure_peak, table
from tests.conftest import HOST_DEVICES
from tests.small_nets import small_net

CONVOLUTION = (
    'layer { name: "L" type: "Convolution" bottom: "x" top: "y"'
    " convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 group: 2 } }"
)


def costs(layers: str, force: bool = False, **shapes: tuple[int, ...]) -> list[Cost]:
    """The costs of the layers after the inputs."""
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{'
        + "".join(f" dim: {dim}" for dim in shape)
        + " } } }"
        for name, shape in shapes.items()
    )
    net = small_net(inputs + layers, "reference", force_backward=force)
    return [layer_cost(net, index) for index in range(len(shapes), len(net.layers))]


def test_a_convolution_counts_its_products() -> None:
    (cost,) = costs(CONVOLUTION, x=(5, 4, 7, 6))
    outputs, taps = 5 * 6 * 5 * 5, 2 * 3 * 2  # 4 / 2 channels of 3 x 2
    weights = 6 * taps + 6
    assert cost.forward_flops == 2 * outputs * taps
    assert cost.backward_flops == cost.forward_flops  # the weights' gradient alone
    assert cost.forward_bytes == 4 * (5 * 4 * 7 * 6 + weights + outputs)
    assert cost.backward_bytes == 4 * (5 * 4 * 7 * 6 + weights + outputs)
    assert (cost.learnable, cost.top_bytes) == (weights, 4 * outputs)


def test_what_passes_a_gradient_on_makes_two_products() -> None:
    (alone,) = costs(CONVOLUTION, x=(5, 4, 7, 6))
    (both,) = costs(CONVOLUTION, force=True, x=(5, 4, 7, 6))
    assert both.backward_flops == 2 * alone.backward_flops
    assert both.backward_bytes == alone.backward_bytes + 4 * (5 * 4 * 7 * 6 + alone.learnable)


@pytest.mark.parametrize(
    ("layer", "shapes", "flops"),
    [
        (
            'type: "Deconvolution" convolution_param { num_output: 6 kernel_size: 3 group: 2 }',
            {"x": (5, 4, 7, 6)},
            2 * 5 * 4 * 7 * 6 * 3 * 9,
        ),
        ('type: "InnerProduct" inner_product_param { num_output: 7 }', {"x": (5, 4, 3)},
         2 * 5 * 12 * 7),
        ('type: "LSTM" bottom: "c" recurrent_param { num_output: 3 }',
         {"x": (6, 2, 5), "c": (6, 2)}, 2 * 6 * 2 * (12 * 5 + 12 * 3)),
        ('type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }', {"x": (2, 3, 7, 7)},
         2 * 3 * 9 * 9),
        ('type: "Pooling" pooling_param { global_pooling: true }', {"x": (2, 3, 7, 5)},
         2 * 3 * 35),
        ('type: "LRN" lrn_param { local_size: 5 }', {"x": (2, 8, 3, 3)}, 5 * 144),
        ('type: "LRN" lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }',
         {"x": (2, 8, 3, 3)}, 9 * 144),
        ('type: "ReLU"', {"x": (2, 8)}, 16),
        ('type: "Eltwise" bottom: "c"', {"x": (2, 8), "c": (2, 8)}, 32),
        ('type: "Concat" bottom: "c"', {"x": (2, 8), "c": (2, 3)}, 0),
        ('type: "Im2col" convolution_param { kernel_size: 3 }', {"x": (1, 1, 5, 5)}, 0),
        ('type: "Reshape" reshape_param { shape { dim: -1 } }', {"x": (2, 8)}, 0),
    ],
)  # fmt: skip
def test_operations(layer: str, shapes: dict[str, tuple[int, ...]], flops: int) -> None:
    kind, _, rest = layer.partition(" bottom:")
    text = f'layer {{ name: "L" bottom: "x" top: "y" {kind}{rest and " bottom:"}{rest} }}'
    (cost,) = costs(text, **shapes)
    assert cost.forward_flops == flops


def test_what_shares_memory_moves_nothing_until_gradients_are_summed() -> None:
    text = 'layer { name: "L" type: "Split" bottom: "x" top: "a" top: "b" top: "c" }'
    (cost,) = costs(text, force=True, x=(4, 5))
    assert (cost.forward_flops, cost.forward_bytes) == (0, 0)
    assert (cost.backward_flops, cost.backward_bytes) == (60, 4 * 80)


def test_what_does_not_go_backward_costs_nothing_there() -> None:
    (cost,) = costs('layer { name: "L" type: "ReLU" bottom: "x" top: "y" }', x=(4, 5))
    assert (cost.forward_bytes, cost.backward_flops, cost.backward_bytes) == (160, 0, 0)


@pytest.mark.parametrize("layer_type", [name for name in known_types() if not needs_files(name)])
def test_every_layer_has_a_cost(layer_type: str) -> None:
    net = minicaffe.net.net.Net(example_net(layer_type), minicaffe.TRAIN, device="reference")
    for index in range(len(net.layers)):
        assert min(vars(layer_cost(net, index)).values()) >= 0


# --- the table -----------------------------------------------------------------------------------


def test_the_table_tells_rates_and_shares() -> None:
    net = small_net(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1000 dim: 50 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 10 bias_term: false } }"
        'layer { name: "r" type: "ReLU" bottom: "y" top: "z" }',
        "reference",
        force_backward=False,
    )
    rows = table(net, [0.0, 2.0, 0.5], [0.0, 4.0, 1.5], Peak(gemm=1e9, bandwidth=1e8))
    # Without a loss no gradient is passed on: ip makes two products, of 1 MFLOP each, ReLU rests.
    moved = 4 * 2 * (50_000 + 500 + 10_000)
    values = 4 * 2 * 10_000
    cells = {row[0]: row for row in rows}
    assert rows[0] == roofline.COLUMNS
    assert cells["x"] == ("x", "Input", "0.000", "0.000", "-", "-", "-", "")
    assert cells["ip"][2:5] == ("2.000", "4.000", f"{2e6 / 6e-3 / 1e9:.2f}")
    assert cells["ip"][5:] == (f"{moved / 6e-3 / 1e9:.2f}", f"{moved / 1e8 / 6e-3:.0%}", "memory")
    assert cells["r"][4:] == ("0.01", "0.04", "40%", "memory")
    total = (moved + values) / 1e8 / 8e-3
    assert cells["sum"][:4] == ("sum", "", "2.500", "5.500")
    assert cells["sum"][6:] == (f"{total:.0%}", "")


def test_arithmetic_binds_where_memory_is_fast() -> None:
    assert Peak(1e9, 1e9).seconds(2e6, 1e6) == (0.002, "arithmetic")
    assert Peak(1e9, 1e9).seconds(1e6, 2e6) == (0.002, "memory")


@pytest.mark.parametrize("device", HOST_DEVICES)
def test_the_peak_is_measured(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SIDE", 32)
    monkeypatch.setattr(roofline, "COPIED", 1 << 20)
    monkeypatch.setattr(roofline, "LEAST_SECONDS", 0.001)
    peak = measure_peak(device)
    assert peak.gemm > 0
    assert peak.bandwidth > 0


def test_a_device_with_memory_of_its_own_has_no_peak_here() -> None:
    with pytest.raises(DeviceError, match="the peak of 'apart:1' cannot be measured"):
        measure_peak("apart:1")


def test_time_prints_caffes_lines_then_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("minicaffe.net.roofline.measure_peak", lambda device: Peak(5e9, 1e10))
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 2 } }"
    )
    assert main(["time", f"-model={path}", "-iterations=2", "-device=reference"]) == 0
    said = capsys.readouterr()
    told = [line.split("] ", 1)[1] for line in said.err.splitlines()]
    begun = told.index("*** Benchmark begins ***")
    patterns = [
        r"\*\*\* Benchmark begins \*\*\*",
        r"Testing for 2 iterations\.",
        r"Iteration: 1 forward-backward time: \S+ ms\.",
        r"Iteration: 2 forward-backward time: \S+ ms\.",
        r"Average time per layer: ",
        r"         x\tforward: \S+ ms\.",
        r"         x\tbackward: \S+ ms\.",
        r"        ip\tforward: \S+ ms\.",
        r"        ip\tbackward: \S+ ms\.",
        r"Average Forward pass: \S+ ms\.",
        r"Average Backward pass: \S+ ms\.",
        r"Average Forward-Backward: \S+ ms\.",
        r"Total Time: \S+ ms\.",
        r"\*\*\* Benchmark ends \*\*\*",
    ]
    assert len(told) == begun + len(patterns)
    for line, pattern in zip(told[begun:], patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    lines = said.out.splitlines()
    assert re.split(r"  +", lines[0]) == list(roofline.COLUMNS)
    assert [line.split()[:2] for line in lines[2:4]] == [["x", "Input"], ["ip", "InnerProduct"]]
    assert lines[5].startswith("peak of reference on ")
    assert "5.0 GFLOP/s (product of 768 x 768 matrices), 10.0 GB/s (copy of 64 MiB)" in lines[5]
