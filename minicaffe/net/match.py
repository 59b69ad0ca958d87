"""Which layers of a net the weights of a file fit: what is said of it, in one line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SnapshotError
from .node import Node

log = logging.getLogger("minicaffe.net")

NAMED = 5  # layers; of more only the number is told


@dataclass(frozen=True)
class Match:
    """What a file, `origin`, and a net have in common: names of layers that have parameters."""

    origin: str
    taken: tuple[str, ...]  # of both
    blobs: int  # theirs
    missing: tuple[str, ...]  # of the net alone: they are as they were
    unused: tuple[str, ...]  # of the file alone

    def __str__(self) -> str:
        """The line for the log."""
        layers = len(self.taken) + len(self.missing)
        found = (
            f"{self.origin}: weights for {len(self.taken)} of the net's {layers} layers that have"
            f" any, {self.blobs} blobs"
        )
        if self.missing:
            found += f"; it has none for {_some(self.missing)}"
        if self.unused:
            found += f"; not used are those of {_some(self.unused)}"
        return found

    def check(self) -> None:
        """Say it; raise SnapshotError if the net has parameters and the file none for them."""
        if self.missing and not self.taken:
            if not self.unused:
                raise SnapshotError(f"{self.origin}: holds no weights")
            raise SnapshotError(
                f"{self.origin}: none of its weights fits the net: it holds those of"
                f" {_some(self.unused)}, the net's layers are {_some(self.missing)}"
            )
        if self.taken:
            log.info("%s", self)


def match(
    origin: str, nodes: Sequence[Node], holders: Sequence[str], taken: Sequence[str], blobs: int
) -> Match:
    """What a net and a file have in common, whose layers `holders` have weights.

    `taken` are those of the net that get some, `blobs` how many these are.
    """
    there, found = set(holders), set(taken)
    return Match(
        origin,
        tuple(taken),
        blobs,
        tuple(node.name for node in nodes if node.blobs and node.name not in found | there),
        tuple(name for name in holders if name not in found),
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" * (len(names) > NAMED))
