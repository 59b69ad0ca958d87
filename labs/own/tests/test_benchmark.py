"""Task benchmark: a net that shows what the layer costs, and how fast yours is there."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import minicaffe
from minicaffe.labs.plugin import ratio_points
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net

LEAST, MOST = 1 << 20, 1 << 26  # bytes of the layer's bottom


def case(lab_folder: Path, kind: str = "RMSNorm") -> pb.NetParameter:
    """The student's net, its layers of RMSNorm being of type `kind`."""
    param = read_net(str(lab_folder / "benchmark.prototxt"))
    for layer in param.layer:
        if layer.type == "RMSNorm":
            layer.type = kind
    return param


def bottom_of(net: Net) -> Any:
    """The bottom of the layer that is measured."""
    for node in net.nodes:
        if node.layer.type in ("RMSNorm", "MVN"):
            return node.bottoms[0]
    raise AssertionError("benchmark.prototxt has no layer of type RMSNorm")


def test_a_realistic_size(lab_folder: Path) -> None:
    """Between 1 and 64 MiB: larger than a cache of a core, small enough to run in a moment."""
    size = 4 * bottom_of(Net(case(lab_folder), minicaffe.TEST, device="cpu")).count()
    assert LEAST <= size <= MOST, (
        f"benchmark.prototxt: the bottom of RMSNorm has {size / 2**20:.3g} MiB, expected 1 to 64"
    )


def seconds_of(nets: list[Net]) -> list[float]:
    """The median times of a forward of each net, which take turns."""
    times: list[list[float]] = [[] for _ in nets]
    for turn in range(12):
        for net, found in zip(nets, times, strict=True):
            began = time.perf_counter()
            net.forward_pass()
            if turn >= 2:
                found.append(time.perf_counter() - began)
    return [median(found) for found in times]


def test_speed(lab_folder: Path, rng: Any) -> None:
    """Against the product's MVN, which makes one pass more over the same numbers."""
    nets = [
        Net(case(lab_folder, kind), minicaffe.TEST, device="cpu") for kind in ("RMSNorm", "MVN")
    ]
    for net in nets:
        bottom = bottom_of(net)
        bottom.data[...] = rng.standard_normal(bottom.shape)
    mine, theirs = seconds_of(nets)
    ratio_points(
        "RMSNorm forward on cpu", mine, theirs, 0.25, 0.9,
        "minicaffe lab run inspect -model benchmark.prototxt shows the machine code of its loops",
    )  # fmt: skip
