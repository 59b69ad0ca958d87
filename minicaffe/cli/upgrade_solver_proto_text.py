"""Bring a solver's prototxt to today's form: minicaffe upgrade_solver_proto_text IN OUT"""

import argparse

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Two files."""
    parser.add_argument("input", help="the solver's prototxt, in Caffe's form of any year")
    parser.add_argument("output", help="the prototxt to write")


def run(args: argparse.Namespace) -> None:
    """Read, upgrade, write; the prefix of snapshots stays as it is."""
    from ..proto import minicaffe_pb2 as pb
    from ..proto.files import read_text, write_text
    from ..proto.upgrade import upgrade_solver

    solver = read_text(args.input, pb.SolverParameter())
    upgrade_solver(solver)
    write_text(args.output, solver)
