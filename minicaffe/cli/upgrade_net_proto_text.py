"""Bring a net's prototxt to today's form: minicaffe upgrade_net_proto_text IN OUT"""

import argparse

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Two files."""
    parser.add_argument("input", help="the prototxt, in Caffe's form of any year")
    parser.add_argument("output", help="the prototxt to write")


def run(args: argparse.Namespace) -> None:
    """Read, upgrade, write."""
    from ..proto.files import read_net, write_text

    write_text(args.output, read_net(args.input))
