"""Which card a link goes over: what Linux tells of devices, ports and GIDs, and what was asked for.

A card is a port of a device. All of it is read from /sys/class/infiniband; nothing is opened here.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from minicaffe.errors import CommunicationError

from .library import verbs

DEVICES = Path("/sys/class/infiniband")
FILES = Path("/sys/class/infiniband_verbs")  # uverbs0/ibdev holds the name of a device
NODES = Path("/dev/infiniband")
VARIABLE = "MINICAFFE_RDMA"
PAGE = "docs/rdma.md"

LONGEST_GAP = 16  # empty entries of a table of GIDs, after which no more are looked for

_KEYS = ("device", "port", "gid")


class Card(NamedTuple):
    """A port of a device, and the number of the GID that speaks for it."""

    device: str
    port: int
    gid: int

    def __str__(self) -> str:
        return f"{self.device} port {self.port} gid {self.gid}"


class Wish(NamedTuple):
    """What was asked for: devices in this order, a port, a GID; () and None leave the choice."""

    devices: tuple[str, ...] = ()
    port: int | None = None
    gid: int | None = None


def read_wish(text: str) -> Wish:
    """The wish of "device=mlx5_0,mlx5_1&port=1&gid=3". Raises CommunicationError."""
    found = dict(parse_qsl(text, keep_blank_values=True))
    numbers = {key: value for key, value in found.items() if key != "device"}
    if set(found) - set(_KEYS) or not all(value.isdecimal() for value in numbers.values()):
        raise CommunicationError(
            f"'{text}' does not choose an RDMA card; device=NAME,NAME&port=NUMBER&gid=NUMBER does"
        )
    devices = tuple(name for name in found.get("device", "").split(",") if name)
    port, gid = (int(numbers[key]) if key in numbers else None for key in ("port", "gid"))
    return Wish(devices, port, gid)


def wish_of(query: str) -> Wish:
    """What the query of a URL asks for, or the environment where it asks for nothing."""
    return read_wish(query or os.environ.get(VARIABLE, ""))


def missing(wish: Wish) -> str:
    """What this machine lacks for RDMA: "", or a line that names it and the remedy."""
    if platform.system() != "Linux":
        return "RDMA needs Linux; take tcp"
    names = _names(DEVICES)
    if not names:
        return (
            f"this machine has no RDMA device ({DEVICES} is empty): `rdma link` lists them, and "
            f"{PAGE} shows how to make one of software"
        )
    unknown = [name for name in wish.devices if name not in names]
    if unknown:
        return f"there is no RDMA device {', '.join(unknown)} (there is: {', '.join(names)})"
    asked = wish.devices or names
    unreachable = [name for name in asked if not _may_open(name)]
    if len(unreachable) == len(asked):
        return (
            f"the RDMA device {', '.join(unreachable)} cannot be opened: {NODES}/uverbs* must be "
            "there and open to this user (in a container: --device=/dev/infiniband)"
        )
    if not _ports(wish):
        states = ", ".join(f"{name} port {port}: {state}" for name, port, state in _states(asked))
        return f"no port of an RDMA device is active ({states}): rdma link, ip link set ... up"
    try:
        verbs()
    except ImportError as error:
        return (
            f"pyverbs is not there for Python {platform.python_version()} ({error}): apt-get "
            f"install python3-pyverbs ibverbs-providers, for this Python's version; see {PAGE}"
        )
    return ""


def choose(wish: Wish, host: str) -> list[Card]:
    """The cards that may be used, in order, the same for all ranks of a host; never none.

    Raises CommunicationError.
    """
    lacking = missing(wish)
    if lacking:
        raise CommunicationError(f"no link by rdma: {lacking}")
    cards = []
    for device, port in _ports(wish):
        gid = pick_gid(gids(device, port), host) if wish.gid is None else wish.gid
        if gid is not None:
            cards.append(Card(device, port, gid))
    if not cards:
        raise CommunicationError(
            "no link by rdma: no port has a GID; over Ethernet the interface needs an IP address"
        )
    return cards


def card_of(cards: Sequence[Card], link: int) -> Card:
    """The card of the link from rank `link` to the next, the same on both of its ends.

    So a rank's two links go over two cards where there are two, and so do those of several ranks;
    and the n-th card of one host speaks to the n-th of the next, which a fabric of separate rails
    needs.
    """
    return cards[link % len(cards)]


class Gid(NamedTuple):
    """An entry of a port's table: a name of 128 bits, an IPv6 address over Ethernet."""

    number: int
    address: ipaddress.IPv6Address
    kind: str  # "RoCE v2", "IB/RoCE v1"


def gids(device: str, port: int) -> list[Gid]:
    """The entries that are in use. Of up to 1024 Linux takes the first that are free."""
    folder = DEVICES / device / "ports" / str(port)
    found: list[Gid] = []
    for number in itertools.count():
        address = ipaddress.IPv6Address(_read(folder / "gids" / str(number)) or "::")
        if int(address):
            kind = _read(folder / "gid_attrs/types" / str(number))
            found.append(Gid(number, address, kind))
        elif number >= LONGEST_GAP + (found[-1].number if found else 0):
            break
    return found


def pick_gid(entries: Sequence[Gid], host: str) -> int | None:
    """The entry to speak by: of RoCE v2 before v1, the one of `host`, then IPv4, then what routes.

    Over InfiniBand there is as a rule one entry, the first.
    """

    def rank(entry: Gid) -> tuple[bool, bool, bool, bool, int]:
        plain = entry.address.ipv4_mapped
        return (
            "v2" not in entry.kind,
            str(plain or entry.address) != host,
            plain is None,
            entry.address.is_link_local,
            entry.number,
        )

    return min(entries, key=rank).number if entries else None


def _ports(wish: Wish) -> list[tuple[str, int]]:
    """The active ports that fit the wish, in its order or that of their names."""
    devices = wish.devices or [name for name in _names(DEVICES) if _may_open(name)]
    return [
        (name, port)
        for name, port, state in _states(devices)
        if "ACTIVE" in state and wish.port in (None, port)
    ]


def _states(devices: Sequence[str]) -> list[tuple[str, int, str]]:
    """(device, port, "4: ACTIVE") of each port."""
    return [
        (name, int(port), _read(DEVICES / name / "ports" / port / "state"))
        for name in devices
        for port in _names(DEVICES / name / "ports")
    ]


def _may_open(device: str) -> bool:
    """Whether the device's node is there, for this user."""
    for node in _names(FILES):
        if _read(FILES / node / "ibdev") == device:
            return os.access(NODES / node, os.R_OK | os.W_OK)
    return False


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _read(path: Path) -> str:
    """What a file says; "" if it is not there or says it is of no use (an empty GID's type)."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
