"""Draw a net: minicaffe draw net.prototxt net.png

The extension says the format. Graphviz's program dot draws, if it is installed; without it PNG, SVG
and PDF are drawn by matplotlib, and .dot, graphviz's text, is written by pydot. The blobs' shapes
stand on the edges where the net can be built; the shapes in TRAIN and in TEST, where they differ.
"""

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import Any

from ._commands import Parser


def configure(parser: Parser) -> None:
    """The flags of Caffe's draw_net.py."""
    parser.add_argument("net", help="the net's prototxt")
    parser.add_argument("output", help="the picture: .png, .svg, .pdf, .dot ...")
    parser.flag(
        "rankdir",
        "from left to right, LR (default), or RL, TB (from top to bottom), BT",
        default="LR",
        choices=("LR", "RL", "TB", "BT"),
    )
    parser.flag(
        "phase",
        "only the layers of TRAIN or TEST (default ALL)",
        default="ALL",
        choices=("TRAIN", "TEST", "ALL"),
    )
    parser.switch("display_lrm", "write the learning rates' multipliers into layers")


def run(args: argparse.Namespace) -> None:
    """Draw."""
    from .. import TEST, TRAIN
    from ..proto.files import read_net
    from ..pycaffe.draw import draw_net_to_file

    phase = {"TRAIN": TRAIN, "TEST": TEST, "ALL": None}[args.phase]
    net = read_net(args.net)
    shapes = _shapes(net, (TRAIN, TEST) if phase is None else (phase,))
    draw_net_to_file(net, args.output, args.rankdir, phase, args.display_lrm, shapes)
    print(f"{args.output}: {len(net.layer)} layers")


def _shapes(net: Any, phases: Iterable[int]) -> dict[str, str]:
    """The blobs' shapes in these phases; none, and why, where no net can be built."""
    from ..errors import Error
    from ..pycaffe.net import Net

    logging.getLogger("minicaffe").setLevel(logging.WARNING)
    found: dict[str, dict[str, None]] = {}
    for phase in phases:
        try:
            built = Net(net, phase)
        except Error as error:
            print(f"no shapes are drawn: {error}", file=sys.stderr)
            return {}
        for name, blob in built.blobs.items():
            shape = " x ".join(map(str, blob.shape)) or "scalar"
            found.setdefault(name, {})[shape] = None
        built.close()
    return {name: "\n".join(shapes) for name, shapes in found.items()}
