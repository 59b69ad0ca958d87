"""Transports: how frames reach the right neighbour and come from the left one.

`open_transport("tcp://10.0.0.7:0")` finds `transport/tcp.py` by the scheme of the URL and asks its
`listen(url)` for a Listener. Its address goes to the other ranks (see rendezvous.py); `join` then
connects to the right neighbour, lets the left one in, and returns the Transport. A new transport
is one new file with these three things. If it needs what not every machine has, such as a card, it
also brings `missing() -> str`: "", or one line that names what is missing and the remedy.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from minicaffe.errors import CommunicationError

from ..auth import Member
from ..frames import Frame


class Transport(Protocol):
    """The two links of one rank. It has one verb, because both directions must move at once:
    ranks that all send first and receive afterwards wait for each other for ever as soon as a
    frame is larger than the buffers between them.
    """

    def sendrecv(
        self, to_right: Sequence[Frame], from_left: Sequence[Frame], lead: int
    ) -> Iterator[int]:
        """Send all frames to the right, in order, while filling the awaited ones from the left.

        Yields i as soon as `from_left[i]` is there, whole and checked. While the caller has it, no
        later one is touched: they may share memory. The first `lead` frames to the right may go
        at once; `to_right[lead + i]` goes only after the caller has come back from i, because it
        is made of it. So a segment is on its way to the next rank while others still arrive.

        Raises CommunicationError, which names rank, neighbour and the frame that was awaited, when
        nothing moves for the transport's timeout, when a link breaks, and when a frame is not the
        one awaited. A transport whose sendrecv did not come to its end can only be closed.
        """
        ...

    def close(self) -> None:
        """Close both links, and wake who waits in sendrecv; what was sent still arrives.

        The neighbours' next sendrecv fails, they close their links too, and so the news walks the
        ring. A second call does nothing.
        """
        ...


class Listener(Protocol):
    """A rank that its left neighbour can reach, before the ring is closed."""

    address: str

    def join(self, right: str, me: Member, timeout: float, handshake_timeout: float) -> Transport:
        """Connect to the address `right`, let the left neighbour in, and stop listening.

        Raises CommunicationError when that takes more than `timeout` seconds, which is also how
        long the transport will wait for anything. A stranger has `handshake_timeout` seconds.
        Where `me.signed` is set it signs its frames, or raises CommunicationError as it cannot.
        """
        ...

    def close(self) -> None:
        """Stop listening. A second call does nothing."""
        ...


def known_schemes() -> list[str]:
    """The transports that have a file here."""
    names = (found.name for found in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if not name.startswith("_"))


def missing(scheme: str) -> str:
    """What this machine lacks for a transport: "", or one line that names it and the remedy.

    That is the answer of the `missing()` of the transport's file; one without it lacks nothing.
    """
    if scheme not in known_schemes():
        return f"there is no transport '{scheme}' (there is: {', '.join(known_schemes())})"
    ask = getattr(importlib.import_module(f"{__name__}.{scheme}"), "missing", None)
    return str(ask()) if ask else ""


def open_transport(url: str) -> Listener:
    """Listen at a URL such as "tcp://127.0.0.1:0" (port 0: any free one) or "inproc://name".

    Raises CommunicationError with the known schemes when there is no such transport.
    """
    scheme = urlsplit(url).scheme
    if scheme not in known_schemes():
        known = ", ".join(f"{name}://" for name in known_schemes())
        raise CommunicationError(f"no transport for '{url}' (there are: {known})")
    found: Listener = importlib.import_module(f"{__name__}.{scheme}").listen(url)
    return found
