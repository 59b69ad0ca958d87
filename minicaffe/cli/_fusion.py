"""The switch -fuse of the commands that run nets."""

from ._commands import Parser


def add_fusion_switch(parser: Parser) -> None:
    """-nofuse runs every layer on its own."""
    parser.switch(
        "fuse",
        "run neighbouring layers that work in place as one, where there is a kernel for them"
        " (default true)",
        default=True,
    )
