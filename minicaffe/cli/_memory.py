"""The switch -share_memory of the commands that run test nets."""

from ._commands import Parser


def add_memory_switch(parser: Parser) -> None:
    """-noshare_memory gives every blob of a test net its own memory."""
    parser.switch(
        "share_memory",
        "let blobs of test nets that are not needed at the same time use the same memory"
        " (default true)",
        default=True,
    )
