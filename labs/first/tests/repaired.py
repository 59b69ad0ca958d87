"""Nets of the student's folder, built, beside those of the lab that show what they ought to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicaffe import TRAIN
from minicaffe.net.net import Net
from minicaffe.proto.files import read_net

LAB = Path(__file__).resolve().parents[1]


def build(folder: Path, name: str) -> Net:
    """The net of repair/NAME.prototxt, which must still be the net that it was meant to be."""
    file = f"repair/{name}.prototxt"
    net = Net(read_net(folder / file), TRAIN, device="reference")
    meant = Net(read_net(LAB / "solution" / file), TRAIN, device="reference")
    mine, theirs = ([node.param.type for node in each.nodes] for each in (net, meant))
    if mine != theirs:
        pytest.fail(
            f"{file} has layers {', '.join(mine)}, expected {', '.join(theirs)}: "
            "mend the layers, leave none out and add none"
        )
    for node, other in zip(net.nodes, meant.nodes, strict=True):
        shapes, wanted = ([top.shape for top in each.tops] for each in (node, other))
        if shapes != wanted:
            pytest.fail(
                f"{file}: layer '{node.name}' has tops of shape {shapes}, expected {wanted}: "
                "the comment at the head of the file says what the net is meant to be"
            )
    if net.flat_params.count != meant.flat_params.count:
        pytest.fail(
            f"{file} has {net.flat_params.count:,} parameters, expected "
            f"{meant.flat_params.count:,}: look at the sizes of filters and at groups"
        )
    return net
