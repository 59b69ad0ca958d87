"""Task facts: operations and bytes of six layers, exactly, and what bounds them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

import minicaffe
from minicaffe.net.cost import layer_cost
from minicaffe.net.net import Net
from minicaffe.net.roofline import Peak
from minicaffe.proto.files import read_net

NET = Path(__file__).parent.parent / "nets" / "six.prototxt"
LAYERS = ("conv1", "relu1", "pool1", "norm1", "ip1", "prob")
PAPER = Peak(100e9, 20e9)


@pytest.fixture(scope="module")
def costs() -> dict[str, Any]:
    """The costs of the lab's net."""
    net = Net(read_net(str(NET)), minicaffe.TEST)
    return {node.name: layer_cost(net, index) for index, node in enumerate(net.nodes)}


def given(lab_folder: Path, layer: str, key: str) -> Any:
    """What the student wrote."""
    facts = tomllib.loads((lab_folder / "facts.toml").read_text(encoding="utf-8"))
    assert key in facts.get(layer, {}), f"facts.toml: [{layer}] has no {key}"
    wanted = str if key == "bound" else int
    assert isinstance(facts[layer][key], wanted), (
        f"facts.toml: [{layer}] {key} = {facts[layer][key]!r}: "
        + (
            "'arithmetic' or 'memory' is expected"
            if wanted is str
            else "a whole number is expected"
        )
    )
    return facts[layer][key]


@pytest.mark.parametrize("layer", LAYERS)
def test_flops(lab_folder: Path, costs: Any, layer: str) -> None:
    """To the last one."""
    mine, counted = given(lab_folder, layer, "flops"), costs[layer].forward_flops
    assert mine == counted, (
        f"facts.toml, {layer}: flops {mine:,} are not what is counted: {cause(mine, counted)}"
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_bytes(lab_folder: Path, costs: Any, layer: str) -> None:
    """To the last one."""
    mine, counted = given(lab_folder, layer, "bytes"), costs[layer].forward_bytes
    assert mine == counted, (
        f"facts.toml, {layer}: bytes {mine:,} are not what is counted: {cause(mine, counted)}"
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_bound(lab_folder: Path, costs: Any, layer: str) -> None:
    """By which of the two the least time is longer, at 100 GFLOP/s and 20 GB/s."""
    mine, cost = given(lab_folder, layer, "bound"), costs[layer]
    by = PAPER.seconds(cost.forward_flops, cost.forward_bytes)[1]
    assert mine == by, (
        f"facts.toml, {layer}: bound by '{mine}', expected another: compare flops / bytes with 5"
    )


def cause(mine: float, counted: float) -> str:
    """The usual causes; the right number is not told."""
    if not mine:
        return "it is still 0"
    known = {
        0.5: "a multiply-add is two operations",
        0.25: "a float32 has 4 bytes",
        4.0: "values have 4 bytes in bytes alone",
        2.0: "is something counted twice?",
        1 / 64: "a batch has 64 images",
    }
    return known.get(mine / counted, "it is too small" if mine < counted else "it is too large")
