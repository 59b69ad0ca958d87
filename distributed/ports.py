"""Listening on one address, at any free port or at the first free one of a range."""

from __future__ import annotations

import errno
import socket

from minicaffe.errors import CommunicationError

ANY = range(1)  # port 0: the system chooses


def read_ports(text: str) -> range:
    """The ports of "7000-7099", "7000", or "" (any). Raises CommunicationError."""
    first, dash, last = text.partition("-")
    if not text:
        return ANY
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise CommunicationError(f"'{text}': ports are expected, such as 7000-7099")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[-1] > 65535 or (ports[0] == 0 and ports != ANY):
        raise CommunicationError(f"'{text}': ports are expected, from 1 to 65535, in order")
    return ports


def listening_socket(host: str, ports: range, backlog: int) -> socket.socket:
    """A socket that listens at the first free port of `host`. Raises OSError."""
    family, _, _, _, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    for port in ports:
        try:
            return socket.create_server((str(place[0]), port), family=family, backlog=backlog)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == ports[-1]:
                raise
    raise OSError(errno.EADDRINUSE, "no port is given")
