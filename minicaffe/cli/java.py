"""Print the home of a Java that Spark can run on: export JAVA_HOME=$(minicaffe java)"""

import argparse

from ._commands import Parser


def configure(parser: Parser) -> None:
    """No flags."""


def run(args: argparse.Namespace) -> None:
    """Print the folder."""
    from ..machine.java import find_java

    print(find_java().home)
