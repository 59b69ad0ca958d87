"""Bring a .caffemodel to today's form: minicaffe upgrade_net_proto_binary IN OUT"""

import argparse

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Two files."""
    parser.add_argument("input", help="the .caffemodel, in Caffe's form of any year")
    parser.add_argument("output", help="the .caffemodel to write")


def run(args: argparse.Namespace) -> None:
    """Read, upgrade, write."""
    from ..proto.files import read_net_binary, write_binary

    write_binary(args.output, read_net_binary(args.input))
