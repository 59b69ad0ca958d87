"""A rank with several devices: a member of the ring for each, a process of its own.

As threads of one process two members of LeNet train 0.9 times as fast as one, for they take turns
with the interpreter; as processes about 1.4 times, on two cores. So the task's process trains
nothing: it forks a process a device, meets the other tasks for all of them, and passes on what they
give back.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from minicaffe.device import place
from minicaffe.errors import ClusterError, Error

from ...rendezvous import Rendezvous

Body = Callable[[int, str, Rendezvous], Iterator[Any]]  # of a member: its number, device, meeting


class PipeRendezvous:
    """A member's meeting: the process above it passes its address on."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def allgather(self, address: str) -> list[str]:
        """The addresses of all members of all ranks."""
        self._pipe.send(("address", address))
        addresses: list[str] = self._pipe.recv()
        return addresses


def device_of(device: str, number: int) -> str:
    """The device of a rank's member: cpu for all of them; cuda:0, cuda:1 ... a card for each."""
    if place(device) == "host":
        return device
    family, _, first = device.partition(":")
    return f"{family}:{int(first or 0) + number}"


def run_members(
    body: Body, devices: int, device: str, rank: int, meeting: Rendezvous
) -> Iterator[Any]:
    """Run the members `devices` * rank, ... of a rank to their end; what they give back.

    Raises ClusterError when one of them fails, or dies. None of them outlives this.
    """
    start = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    members: list[Any] = []
    try:
        for number in range(devices):
            here, there = start.Pipe()
            pipes.append(here)
            args = (body, devices * rank + number, device_of(device, number), there, list(pipes))
            members.append(start.Process(target=_member, args=args, daemon=True))
            members[-1].start()
            there.close()
        yield from _pass_on(pipes, devices * rank, meeting)
        for member in members:
            member.join()
    finally:
        for member in members:
            member.kill()
        for pipe in pipes:
            pipe.close()
        for member in members:
            member.join()


def _pass_on(pipes: list[Connection], first: int, meeting: Rendezvous) -> Iterator[Any]:
    """Meet for all members, then give what each gives, until all have ended."""
    addresses: dict[Connection, str] = {}
    running = list(pipes)
    while running:
        for pipe in wait(running):
            assert isinstance(pipe, Connection)
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                number = first + pipes.index(pipe)
                raise ClusterError(f"the process of rank {number} ended before its work") from None
            if kind == "failed":
                raise ClusterError(content)
            if kind == "end":
                running.remove(pipe)
            elif kind == "answer":
                yield content
            else:
                addresses[pipe] = content
        if len(addresses) == len(pipes):
            found = meeting.allgather("\n".join(addresses[pipe] for pipe in pipes))
            everybody = [address for of_rank in found for address in of_rank.split("\n")]
            for pipe in pipes:
                pipe.send(everybody)
            addresses.clear()


def _member(
    body: Body, number: int, device: str, pipe: Connection, above: list[Connection]
) -> None:
    """The process of one member."""
    for each in above:  # the other ends, which this process has by being forked
        each.close()
    with contextlib.suppress(BrokenPipeError):
        try:
            _end_with_the_task()
            for answer in body(number, device, PipeRendezvous(pipe)):
                pipe.send(("answer", answer))
            pipe.send(("end", None))
        except BaseException as error:
            # The driver has heard of it by the member's own line.
            said = str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
            pipe.send(("failed", said))


def _end_with_the_task() -> None:
    """End this process as soon as the one that forked it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="minicaffe-parent", daemon=True).start()
