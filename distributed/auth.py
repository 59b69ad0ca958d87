"""Who may be whose neighbour: mutual HMAC-SHA256 challenge and response, before a link is used.

    listener (rank r + 1)                          dialer (rank r)
      MAGIC  nonce_l                        -->
                                            <--    MAGIC  claims  nonce_d  mac("dialer")
      mac("listener")                       -->

    key  = HMAC(secret, MAGIC | run)
    mac(role) = HMAC(key, role | claims | nonce_l | nonce_d)
    claims = generation, world_size, the dialer's rank, whether it signs its frames

The secret is made by the driver for one run and never travels. Both nonces are random, so that a
recorded talk is worth nothing the next time; the roles differ, so that a mac cannot be sent back
to its maker; the claims are inside the mac, so that a rank of an older generation (alive, but
given up) has no seat in the newer ring. The listener tells a stranger nothing but its nonce.
This proves who is there when the link is made, and leaves both with mac("frames"), a key that no
other link, generation or talk has. Who `signed` is set for signs every frame with it (frames.py);
nothing is encrypted.

The two halves are generators that do no input or output: each yields (bytes to send, bytes then
awaited), is sent exactly that many, and returns that key when the other side is proved.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

from minicaffe.errors import CommunicationError

MAGIC = b"minicaffe ring 2 " + sys.byteorder.encode().ljust(7)
NONCE_SIZE = 32
MAC_SIZE = 32

_CLAIMS = struct.Struct("!QII?")
_CLAIMED = "generation {}, world size {}, rank {}, signed frames {}"

Half = Generator[tuple[bytes, int], bytes, bytes]


class Refused(CommunicationError):
    """The other side of a new connection is not the neighbour that is awaited."""


@dataclass(frozen=True)
class Member:
    """One rank's place in one generation of one run, and the secret that proves it.

    signed: whether its frames carry a MAC.
    circle: the ranks that stand in the ring, in their order; empty for all of them. Each ring of a
    run has a name of its own in `run`, so that nobody takes a place in another one.
    """

    rank: int
    world_size: int
    generation: int = 0
    run: str = ""
    secret: bytes = field(default=b"", repr=False)
    signed: bool = False
    circle: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @property
    def left(self) -> int:
        """The rank that sends to this one."""
        return self._at_distance(-1)

    @property
    def right(self) -> int:
        """The rank that this one sends to."""
        return self._at_distance(1)

    def in_ring(self, name: str, circle: Sequence[int]) -> Member:
        """The same rank in a further ring of the run, that of these ranks."""
        return replace(self, run=f"{self.run}/{name}", circle=tuple(circle))

    def _at_distance(self, steps: int) -> int:
        circle = self.circle or range(self.world_size)
        return circle[(circle.index(self.rank) + steps) % len(circle)]

    def mac(self, role: bytes, claims: bytes, nonces: bytes) -> bytes:
        """The proof of knowing the secret: 32 bytes."""
        key = hmac.digest(self.secret, MAGIC + self.run.encode(), hashlib.sha256)
        return hmac.digest(key, role + claims + nonces, hashlib.sha256)


def new_secret() -> bytes:
    """A fresh secret for one run: 32 random bytes, for the driver to hand to its ranks."""
    return secrets.token_bytes(32)


def dialer(me: Member) -> Half:
    """The half of the rank that connects to its right neighbour. Raises Refused."""
    challenge = yield b"", len(MAGIC) + NONCE_SIZE
    _check_magic(challenge)
    claims = _CLAIMS.pack(me.generation, me.world_size, me.rank, me.signed)
    nonce = secrets.token_bytes(NONCE_SIZE)
    nonces = challenge[len(MAGIC) :] + nonce
    proof = yield MAGIC + claims + nonce + me.mac(b"dialer", claims, nonces), MAC_SIZE
    if not hmac.compare_digest(proof, me.mac(b"listener", claims, nonces)):
        raise Refused("it does not know the secret of this run")
    return me.mac(b"frames", claims, nonces)


def listener(me: Member) -> Half:
    """The half of the rank that awaits its left neighbour. Raises Refused."""
    challenge = secrets.token_bytes(NONCE_SIZE)
    magic = yield MAGIC + challenge, len(MAGIC)
    _check_magic(magic)
    answer = yield b"", _CLAIMS.size + NONCE_SIZE + MAC_SIZE
    claims, nonce = answer[: _CLAIMS.size], answer[_CLAIMS.size : -MAC_SIZE]
    if not hmac.compare_digest(answer[-MAC_SIZE:], me.mac(b"dialer", claims, challenge + nonce)):
        raise Refused("it does not know the secret of this run")
    claimed, awaited = _CLAIMS.unpack(claims), (me.generation, me.world_size, me.left, me.signed)
    if claimed != awaited:
        raise Refused(f"it is {_CLAIMED.format(*claimed)}; awaited {_CLAIMED.format(*awaited)}")
    yield me.mac(b"listener", claims, challenge + nonce), 0
    return me.mac(b"frames", claims, challenge + nonce)


def _check_magic(received: bytes) -> None:
    if received[: len(MAGIC)] != MAGIC:
        raise Refused(f"it does not speak this protocol: {received[:24]!r}")
