"""Task layers: how near the roof, beside the clock of this machine."""

import tomllib
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

import pytest

import minicaffe
from minicaffe.labs.clock import layer_seconds
from minicaffe.labs.plugin import share_points
from minicaffe.net.cost import layer_cost
from minicaffe.net.net import Net
from minicaffe.net.roofline import measure_peak
from minicaffe.proto.files import read_net

NET = Path(__file__).parent.parent / "nets" / "six.prototxt"
LAYERS = ("conv1", "relu1", "pool1", "norm1", "ip1", "prob")
ALL, NONE = 0.5, 2.0  # |log2(predicted / measured)|: full points under the one, none over the other


@cache
def measured() -> dict[str, tuple[float, float]]:
    """Of each layer: the least seconds by the roof, and those that it took."""
    net = Net(read_net(str(NET)), minicaffe.TEST)
    peak, took = measure_peak("cpu"), layer_seconds(net)
    found = {}
    for index, node in enumerate(net.nodes):
        cost = layer_cost(net, index)
        found[node.name] = peak.seconds(cost.forward_flops, cost.forward_bytes)[0], took[node.name]
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_prediction(lab_folder: Path, layer: str) -> None:
    """Points fall from all at a factor of 1.4 to none at a factor of 4."""
    text = (lab_folder / "layers.toml").read_text(encoding="utf-8")
    share: Any = tomllib.loads(text).get(layer, 0)
    assert isinstance(share, int | float) and share > 0, (
        f"layers.toml: {layer} = {share}: a share of the roof above 0 is expected"
    )
    least, took = measured()[layer]
    off = abs(log2(least / share / took))
    share_points(
        (NONE - off) / (NONE - ALL),
        f"{layer}: predicted {1e3 * least / share:.3f} ms (roof {1e3 * least:.3f} ms, share"
        f" {share:g}), measured {1e3 * took:.3f} ms: off by a factor of {2**off:.1f}, points end"
        " at 4: what does the count of operations or bytes not see?",
    )
