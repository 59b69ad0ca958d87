"""unix://: ranks of one host, by sockets that the kernel connects without a network.

An address is unix://<host>/<name>, where <host> is `same_host.host_id()`. On Linux the name is an
abstract one, which no file system has and which is gone with its socket; elsewhere it is a file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from urllib.parse import urlsplit

from minicaffe.errors import CommunicationError

from ..auth import Member
from ..same_host import host_id
from . import Transport
from ._stream import StreamListener

BACKLOG = 128


class UnixListener(StreamListener):
    """A StreamListener whose socket may have a file, which goes when nobody can come any more."""

    folder = ""

    def join(self, right: str, me: Member, timeout: float, handshake_timeout: float) -> Transport:
        """See Listener.join."""
        try:
            return super().join(right, me, timeout, handshake_timeout)
        finally:
            self._remove()

    def close(self) -> None:
        """Stop listening and send everyone away."""
        super().close()
        self._remove()

    def _remove(self) -> None:
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def missing() -> str:
    """What this system lacks for it; see transport.missing."""
    if hasattr(socket, "AF_UNIX"):
        return ""
    return "this system has no sockets for the ranks of one host; take tcp"


def listen(url: str) -> UnixListener:
    """Listen under a new name; what else the URL says is of no use here.

    Raises CommunicationError.
    """
    return listener_for(url, "unix", UnixListener)


def listener_for(url: str, scheme: str, kind: type[UnixListener]) -> UnixListener:
    """A listener of a kind under a new name. Raises CommunicationError."""
    if missing():
        raise CommunicationError(f"'{url}': {missing()}")
    folder = ""
    name = f"minicaffe-{secrets.token_hex(8)}"
    sock = socket.socket(socket.AF_UNIX)
    try:
        if not sys.platform.startswith("linux"):
            folder = tempfile.mkdtemp(prefix="minicaffe-")
            name = os.path.join(folder, "rank")
        sock.bind(_place(name))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        raise CommunicationError(f"cannot listen at '{url}': {error}") from error
    made = kind(sock, f"{scheme}://{host_id()}/{name.lstrip('/')}", dial)
    made.folder = folder
    return made


def dial(address: str, timeout: float) -> socket.socket:
    """A connection to an address. Raises OSError; CommunicationError for one of another host."""
    parts = urlsplit(address)
    if parts.netloc != host_id():
        raise CommunicationError(
            f"{address} is on another host: {parts.scheme} joins ranks of one, tcp those of several"
        )
    name = parts.path if "/" in parts.path[1:] else parts.path[1:]  # a file, or an abstract name
    sock = socket.socket(socket.AF_UNIX)
    with contextlib.ExitStack() as on_error:
        on_error.callback(sock.close)
        sock.settimeout(timeout)
        sock.connect(_place(name))
        on_error.pop_all()
    return sock


def _place(name: str) -> str:
    """What the kernel calls it: a path, or an abstract name, which begins with a zero."""
    return name if os.path.isabs(name) else f"\0{name}"
