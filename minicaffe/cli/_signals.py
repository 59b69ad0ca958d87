"""Signals while a solver runs: stop, snapshot, or nothing, as -sigint_effect says."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from ..machine.signals import answered
from ._commands import Parser

EFFECTS = ("stop", "snapshot", "none")


class Requests(Protocol):
    """A solver, as far as signals see it."""

    def request(self, action: str) -> None:
        """Stop or snapshot after the iteration that runs."""


def add_signal_flags(parser: Parser) -> None:
    """Caffe's two flags, with its defaults."""
    for name, default in (("SIGINT", "stop"), ("SIGHUP", "snapshot")):
        parser.flag(
            f"{name.lower()}_effect",
            f"what {name} does: {', '.join(EFFECTS)} (default {default})",
            default=default,
            choices=EFFECTS,
        )


@contextmanager
def signals(solver: Requests, sigint: str, sighup: str) -> Iterator[None]:
    """Pass signals on to `solver` within a `with` block.

    A second SIGINT after one that asked to stop interrupts at once.
    """
    effects = {signal.SIGINT: sigint, signal.SIGHUP: sighup}

    def receive(number: int, frame: FrameType | None) -> None:
        effect = effects[signal.Signals(number)]
        if effect != "none":
            solver.request(effect)
        if effect == "stop" and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        else:
            answered()

    former = {number: signal.signal(number, receive) for number in effects}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
