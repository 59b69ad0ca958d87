"""Hosts that one machine plays: network namespaces around a bridge, whose cables can be pulled.

They have no names and hold on to nothing: with the process that made them they are gone. It needs
root, and the programs `unshare`, `nsenter` and `ip` of Linux.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

NETWORK = "10.77.5"  # seen by none but the processes inside
INSIDE = "MINICAFFE_TEST_HOSTS"  # set where a process has a network of its own


def missing() -> str:
    """What stands in the way here, in words; "" for nothing."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in ("unshare", "nsenter", "ip") if not shutil.which(name)]
    if absent:
        return f"no program {absent[0]}"
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "br0", "type", "bridge"],
                           capture_output=True, text=True)  # fmt: skip
    return f"no network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


def move_into_own_network(command: Sequence[str]) -> None:
    """Begin this process anew by a command in a network of its own, unless it has one."""
    if os.environ.get(INSIDE):
        return
    environment = os.environ | {INSIDE: "1", "SPARK_LOCAL_IP": f"{NETWORK}.1"}
    os.execvpe("unshare", ["unshare", "--net", *command], environment)


class Hosts:
    """`count` hosts at 10.77.5.2 and on, and this process's own network at 10.77.5.1."""

    address = f"{NETWORK}.1"

    def __init__(self, count: int) -> None:
        self.addresses = [f"{NETWORK}.{index + 2}" for index in range(count)]
        _ip("link set lo up")
        _ip("link add br0 type bridge")
        _ip(f"addr add {self.address}/24 dev br0")
        _ip("link set br0 up")
        self._holders = [self._add(index) for index in range(count)]

    def _add(self, index: int) -> "subprocess.Popen[bytes]":
        """A namespace lives as long as a process in it: one that ends with its standard input."""
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout
        holder.stdout.readline()
        _ip(f"link add host{index} type veth peer name eth0 netns {holder.pid}")
        _ip(f"link set host{index} master br0 up")
        inside = ["nsenter", "-t", str(holder.pid), "-n"]
        for words in ("link set lo up", f"addr add {self.addresses[index]}/24 dev eth0",
                      "link set eth0 up"):  # fmt: skip
            _ip(words, inside)
        return holder

    def inside(self, index: int) -> list[str]:
        """What stands before a command that runs on a host."""
        return ["nsenter", "-t", str(self._holders[index].pid), "-n"]

    def of_process(self, pid: int) -> int:
        """The host on which a process runs."""
        here = os.readlink(f"/proc/{pid}/ns/net")
        found = [os.readlink(f"/proc/{holder.pid}/ns/net") for holder in self._holders]
        return found.index(here)

    def cut(self, index: int) -> None:
        """Pull a host's cable."""
        _ip(f"link set host{index} down")

    def mend(self, index: int) -> None:
        """Plug it in again."""
        _ip(f"link set host{index} up")

    def close(self) -> None:
        """End the hosts; what runs there keeps its network until it ends."""
        for holder in self._holders:
            assert holder.stdin
            holder.stdin.close()
            holder.wait()


def _ip(words: str, before: Sequence[str] = ()) -> None:
    subprocess.run([*before, "ip", *words.split()], check=True)


def parent_of(pid: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
