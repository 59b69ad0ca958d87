"""Test hosts on one machine: network namespaces around a bridge, their links as slow as is wanted.

    with Netlab(4) as lab:
        lab.limit("1gbit")
        lab.hosts[2].enter ...          # a process goes there by Host.enter

         host 0          host 1          host 2          host 3       each a network namespace
        10.77.5.1       10.77.5.2       10.77.5.3       10.77.5.4
           | eth0          | eth0          | eth0          | eth0
         tbf             tbf             tbf             tbf           what leaves a host
         tbf             tbf             tbf             tbf           what reaches it
           | port0         | port1         | port2         | port3
        ===+===============+===============+===============+=== bridge, 10.77.5.254, the switch

A namespace has no name: it lives as long as the processes inside it. The first one of each reads
from a pipe that only the owner of the lab can write to, so it ends when the owner does, whatever
ended the owner, and the kernel takes the namespace and its links away. Nothing can be left behind.

`Netlab(1, bridge=False)` is one host alone with its loopback: what goes over `lo` there is the
benchmark's own, and can be counted.

Linux and root; `missing()` says what is not there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

NETWORK = "10.77.5"
SWITCH = f"{NETWORK}.254"
LIMIT = "4mb"  # what may wait before a link
BURST = {"10gbit": "256kb"}  # what may go at once after a silence: 0.2 ms of the fast link
LEAST_BURST = "80kb"  # of the others: more than a packet of 64 KB, which tbf else cuts into frames
MOST_HOSTS = 250
PROGRAMS = ("ip", "tc", "unshare", "nsenter")
CLONE_NEWNET = 0x40000000


class NoHosts(Exception):
    """There are none to be had; the message says why."""


class Host(NamedTuple):
    """A namespace: the process that keeps it, its address, the interface that its traffic takes."""

    keeper: int
    address: str
    interface: str

    def enter(self) -> None:
        """Put the calling process (its thread, and those it starts) onto this host."""
        enter(self.keeper)

    def sent(self) -> int:
        """Bytes that have left by the interface so far, headers included."""
        return sent(self.interface, self.keeper)


class Netlab:
    """So many hosts; they go when this is left, or when the process that made them ends."""

    def __init__(self, hosts: int, bridge: bool = True) -> None:
        if reason := missing():
            raise NoHosts(f"no test hosts: {reason}")
        if not 1 <= hosts <= MOST_HOSTS:
            raise NoHosts(f"no lab of {hosts} test hosts (1 to {MOST_HOSTS})")
        self._end = ExitStack()
        self._bridge = bridge
        try:
            keepers = [self._keeper() for _ in range(hosts + bridge)]
            self.switch = keepers[-1]
            if bridge:
                self.hosts = [
                    Host(keeper, f"{NETWORK}.{number + 1}", "eth0")
                    for number, keeper in enumerate(keepers[:-1])
                ]
                self._wire()
            else:
                self.hosts = [Host(keeper, "127.0.0.1", "lo") for keeper in keepers]
            for host in self.hosts:
                inside(host.keeper, "ip", "link set lo up")
        except BaseException:
            self.close()
            raise

    def limit(self, rate: str) -> None:
        """Give every link a rate in both directions, as tc spells it ("1gbit"); "" is no limit."""
        if not self._bridge:
            raise ValueError("a loopback has no limit")
        burst = BURST.get(rate, LEAST_BURST)
        what = f"replace dev {{}} root tbf rate {rate} burst {burst} limit {LIMIT}"
        if not rate:
            what = "replace dev {} root noqueue"
        for host in self.hosts:
            inside(host.keeper, "tc", f"qdisc {what.format(host.interface)}")
        ports = (f"port{number}" for number in range(len(self.hosts)))
        inside(self.switch, "tc", *(f"qdisc {what.format(port)}" for port in ports))

    def close(self) -> None:
        """Let the hosts go. A second call does nothing."""
        self._end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _keeper(self) -> int:
        """A process in a new namespace, which ends when its standard input does."""
        command = ["unshare", "--net", "sh", "-c", "echo; exec cat"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(  # in a session of its own: Ctrl-C is for the owner to deal with
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        self._end.callback(_end, process)
        if process.stdout is None or process.stdout.readline() != "\n":
            reason = process.stderr.read().strip() if process.stderr else ""
            raise NoHosts(f"no test hosts: the kernel refuses a network namespace ({reason})")
        return process.pid

    def _wire(self) -> None:
        """Links from every host to the bridge."""
        lines = ["link set lo up", "link add bridge type bridge", "link set bridge up"]
        lines.append(f"addr add {SWITCH}/24 dev bridge")
        for number, host in enumerate(self.hosts):
            port = f"port{number}"
            lines.append(f"link add {port} type veth peer name eth0 netns {host.keeper}")
            lines.append(f"link set {port} master bridge addrgenmode none up")
        inside(self.switch, "ip", *lines)
        for host in self.hosts:
            inside(
                host.keeper, "ip", "link set eth0 addrgenmode none up",
                f"addr add {host.address}/24 dev eth0",
            )  # fmt: skip


@cache
def missing() -> str:
    """Why there can be no test hosts here; empty if there can."""
    if not sys.platform.startswith("linux"):
        return f"network namespaces are Linux's, this is {sys.platform}"
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        return f"no program {' or '.join(lacking)} (packages iproute2, util-linux)"
    tried = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        return f"no network namespaces here ({tried.stderr.strip()})"
    return ""


def inside(keeper: int, program: str, *lines: str) -> None:
    """Give lines to `ip` or `tc` in a namespace. Raises NoHosts with what it said."""
    command = ["nsenter", f"--net=/proc/{keeper}/ns/net", program, "-batch", "-"]
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoHosts(f"no test hosts: {program} said: {done.stderr.strip()}")


def enter(keeper: int) -> None:
    """Put the calling thread, and those it starts, into the namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns is there from Python 3.12 on
    with open(f"/proc/{keeper}/ns/net") as space:
        if libc.setns(space.fileno(), CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"no way into a test host: {os.strerror(number)}")


def sent(interface: str, process: int | str = "self") -> int:
    """Bytes that have left by an interface of the namespace that a process is in."""
    for line in Path(f"/proc/{process}/net/dev").read_text().splitlines():
        name, found, rest = line.partition(":")
        if found and name.strip() == interface:
            return int(rest.split()[8])
    raise OSError(f"no interface {interface} in the namespace of process {process}")


def _end(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()
