"""How ranks find each other, and what is said when they do not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicaffe.distributed.communicator import Communicator, LocalCommunicator
from minicaffe.distributed.rendezvous import (
    FixedRendezvous,
    SparkRendezvous,
    ThreadRendezvous,
    connect,
)
from minicaffe.errors import CommunicationError, MissingExtra
from tests.ranks import SECRET, URLS, at_once


def test_threads_exchange_addresses_by_rank() -> None:
    meetings = ThreadRendezvous.of(3)
    calls = [lambda rank=rank: meetings[rank].allgather(f"at {rank}") for rank in range(3)]
    assert at_once(calls) == [["at 0", "at 1", "at 2"]] * 3


def test_a_thread_that_does_not_come_is_named() -> None:
    with pytest.raises(CommunicationError, match=r"rank 1: ranks \[0, 2\] did not come"):
        ThreadRendezvous.of(3, timeout=0.05)[1].allgather("at 1")


def test_a_fixed_list_must_hold_the_own_address() -> None:
    meeting = FixedRendezvous(["tcp://a:1", "tcp://b:2"])
    assert meeting.allgather("tcp://b:2") == ["tcp://a:1", "tcp://b:2"]
    with pytest.raises(CommunicationError, match="listens at tcp://c:3, not at one of tcp://a:1"):
        meeting.allgather("tcp://c:3")


class BarrierContext:
    """What of pyspark's BarrierTaskContext is used."""

    def __init__(self, answer: list[str]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def allGather(self, message: str) -> list[str]:
        self.asked.append(message)
        return self.answer


def test_spark_gathers_once_for_a_ring() -> None:
    context = BarrierContext(["x", "y"])
    assert SparkRendezvous(context).allgather("y") == ["x", "y"]
    assert context.asked == ["y"]


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(MissingExtra, match=r"minicaffe\[spark\]"):
        SparkRendezvous()


@pytest.mark.parametrize("url", URLS)
def test_the_rendezvous_must_bring_every_rank(url: str) -> None:
    context = BarrierContext([url])
    with pytest.raises(CommunicationError, match="brought 1 addresses for 2 ranks"):
        connect(SparkRendezvous(context), 0, 2, url, secret=SECRET)


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0), (0, 65537)])
def test_a_rank_outside_the_ring_is_refused(rank: int, world_size: int) -> None:
    with pytest.raises(CommunicationError, match=f"no rank {rank} in a ring of {world_size}"):
        connect(FixedRendezvous([]), rank, world_size, secret=SECRET)


def test_a_ring_without_a_secret_is_refused() -> None:
    with pytest.raises(CommunicationError, match="needs a secret"):
        connect(FixedRendezvous([]), 0, 2, secret=b"")


def test_one_rank_needs_nobody() -> None:
    ring = connect(FixedRendezvous([]), 0, 1, secret=SECRET)
    assert isinstance(ring, LocalCommunicator)
    array = np.arange(4.0)
    ring.allreduce(array)
    ring.allgather(array)
    ring.broadcast(array)
    ring.barrier()
    assert ring.reduce_scatter(array).tolist() == array.tolist() == [0, 1, 2, 3]
    assert ring.allgather_bytes(b"alone") == [b"alone"]


def test_ranks_of_two_generations_form_no_ring() -> None:
    meetings = ThreadRendezvous.of(2)
    for url in URLS:

        def call(rank: int, url: str = url) -> Communicator:
            return connect(
                meetings[rank], rank, 2, url, secret=SECRET, generation=rank, timeout=2
            )  # fmt: skip

        errors = at_once([lambda: call(0), lambda: call(1)])
        assert all(isinstance(error, CommunicationError) for error in errors), errors
        assert "generation" in str(errors)


def test_a_mailbox_that_is_not_there_is_named() -> None:
    with pytest.raises(CommunicationError, match="rank 1 has no mailbox at inproc://gone"):
        connect(
            SparkRendezvous(BarrierContext(["", "inproc://gone"])), 0, 2, "inproc://test",
            secret=SECRET,
        )  # fmt: skip


def test_the_core_of_distribution_is_light(checkout: Path) -> None:
    """Importing it loads neither the solver nor Spark, and no transport before it is asked for."""
    program = (
        "import sys, minicaffe.distributed.rendezvous\n"
        "heavy = {'pyspark', 'numba', 'google.protobuf', 'minicaffe.solver.solver',"
        " 'minicaffe.distributed.transport.tcp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
