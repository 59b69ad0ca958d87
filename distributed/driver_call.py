"""How the ranks and tasks of a job reach their driver: an address, and a mutual proof."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from minicaffe.errors import ClusterError

from .auth import Member, Refused, dialer
from .handshake import Conversation

DIALING = 30.0  # seconds that a handshake may take, for a task, among many who call at once


@dataclass(frozen=True)
class Call:
    """How the ranks or tasks of a job reach their driver."""

    address: tuple[str, int]
    run: str
    generation: int
    secret: bytes = field(repr=False)


def seat(run: str, generation: int, secret: bytes) -> Member:
    """The one seat that drivers and ranks of a generation prove to hold, apart from the ring's."""
    return Member(rank=0, world_size=1, generation=generation, run=f"{run} control", secret=secret)


def dial(call: Call, rank: int, patience: float = DIALING) -> socket.socket:
    """A connection to the driver, after the proof.

    Raises ClusterError where the driver cannot be reached in `patience` seconds.
    """
    try:
        connection = socket.create_connection(call.address, patience)
    except OSError as error:
        raise _unreachable(call, rank, error) from error
    try:
        half = dialer(seat(call.run, call.generation, call.secret))
        deadline = time.monotonic() + patience
        return Conversation(connection, half, "the driver", deadline).finish()
    except (OSError, Refused) as error:
        connection.close()
        raise _unreachable(call, rank, error) from error


def _unreachable(call: Call, rank: int, reason: object) -> ClusterError:
    host, port = call.address
    return ClusterError(f"rank {rank} cannot reach the driver at {host}:{port}: {reason}")
