"""Make a database of the pictures in a list: minicaffe convert_imageset ROOT/ LIST DB"""

import argparse

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Caffe's flags; `minicaffe convert imageset` is the same."""
    from .convert import imageset

    imageset.configure(parser)


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was made."""
    from .convert import imageset

    imageset.run(args)
