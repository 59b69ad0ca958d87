"""tcp://host:port: ranks on machines, or processes of one machine, that reach each other by TCP.

A rank listens on one address only, until its left neighbour has proved itself (see auth.py), and
never again after that: there is no door for strangers while a solver trains.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TypeVar
from urllib.parse import urlsplit

from minicaffe.errors import CommunicationError

from ..ports import listening_socket, read_ports
from ._stream import StreamListener

Kind = TypeVar("Kind", bound=StreamListener)

BACKLOG = 128
_RANGE = re.compile(r"(tcp://.*:)(\d+-\d+)")


def listen(url: str) -> StreamListener:
    """Listen at a URL such as tcp://127.0.0.1:0; port 0 is any free one, 7000-7099 the first there.

    Raises CommunicationError.
    """
    return listener_for(url, StreamListener)


def listener_for(url: str, kind: type[Kind]) -> Kind:
    """A listener of a kind at a tcp:// URL. Raises CommunicationError."""
    found = _RANGE.fullmatch(url)
    host, port = _host_and_port(f"{found[1]}0" if found else url)
    sock = _bind(host, read_ports(found[2]) if found else range(port, port + 1))
    shown = f"[{host}]" if ":" in host else host
    return kind(sock, f"tcp://{shown}:{sock.getsockname()[1]}", dial)


def dial(address: str, timeout: float) -> socket.socket:
    """A connection to an address. Raises OSError."""
    return socket.create_connection(_host_and_port(address), timeout)


def _bind(host: str, ports: range) -> socket.socket:
    """A socket bound to one address. Raises CommunicationError."""
    port = "-".join(map(str, dict.fromkeys((ports[0], ports[-1]))))
    try:
        address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0]
        if ipaddress.ip_address(address).is_unspecified:
            raise CommunicationError(
                f"tcp://{host}:{port} is every address of this machine; name the one to listen at"
            )
        return listening_socket(host, ports, BACKLOG)
    except OSError as error:
        raise CommunicationError(f"cannot listen at tcp://{host}:{port}: {error}") from error


def _host_and_port(url: str) -> tuple[str, int]:
    """The two parts of tcp://host:port. Raises CommunicationError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.scheme != "tcp":
        raise CommunicationError(f"'{url}' is no address of the form tcp://host:port")
    return host, port
