"""What layers prepare from their parameters in phase TEST, and keep until these change.

    self.kept = Kept(self.phase)                                     in setup
    with self.kept.for_call(self.blobs) as kept:                     in forward
        self.ops.forward(..., scratch, kept)

`kept` is True where the scratch is as the last call left it and the parameters hold the same
values, False where it must be prepared anew, and None where nothing is kept: in phase TRAIN, where
each forward finds other parameters, and with MINICAFFE_KEEP=off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .blob import Blob
from .errors import Error
from .proto import minicaffe_pb2 as pb
from .storage import moved

VARIABLE = "MINICAFFE_KEEP"
WORDS = ("on", "off")


def allowed() -> bool:
    """Whether the user lets nets keep things. Raises Error for an unknown word."""
    word = os.environ.get(VARIABLE) or "on"
    if word not in WORDS:
        raise Error(f"{VARIABLE}={word}: it is one of {', '.join(WORDS)}")
    return word == "on"


class Kept:
    """Whether what a layer has prepared is still what its parameters say."""

    def __init__(self, phase: int) -> None:
        self.wanted = phase == pb.TEST and allowed()
        self._stamps: Sequence[tuple[int, int] | None] | None = None

    @contextmanager
    def for_call(self, blobs: Sequence[Blob]) -> Iterator[bool | None]:
        """Around a call that prepares something of the parameters: True, False or None."""
        if not self.wanted:
            yield None
            return
        stamps = [blob.data.stamp() for blob in blobs]  # before anything is read
        same = stamps == self._stamps
        if not same:
            self.forget()  # until the call is done
        yield same
        self._stamps = None if None in stamps else stamps

    def forget(self) -> None:
        """Something else has used the scratch, or will."""
        if self._stamps is not None:
            self._stamps = None
            moved()
