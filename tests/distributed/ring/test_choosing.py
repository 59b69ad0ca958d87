"""auto://: what the ranks have decides, all of them decide alike, and say why not better."""

import json
import socket
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed import choosing
from minicaffe.distributed.choosing import Card, choose, open_doors
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.hierarchy import HierarchicalCommunicator
from minicaffe.distributed.rendezvous import ThreadRendezvous, connect
from minicaffe.distributed.ring import RingCommunicator
from minicaffe.distributed.two_paths import TwoPaths
from minicaffe.errors import CommunicationError, DeviceError
from tests.ranks import SECRET, at_once, outcomes, run_ranks

URL = "auto://127.0.0.1:0"
ALL = ("shm", "unix", "rdma", "tcp")
NO_CARD = "no RDMA device (install a driver)"


def card(host: str, schemes: tuple[str, ...] = ALL, **lacks: str) -> Card:
    doors = {scheme: f"{scheme}://{host}" for scheme in schemes if scheme not in lacks}
    return Card(host, f"name of {host}", doors, lacks)


# --- the choice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "inside", "between", "words"),
    [
        ([card("a")] * 3, "shm", "", "shm (all 3 ranks are on one host)"),
        (
            [card("a"), card("a", shm="needs Linux")],
            "unix",
            "",
            "unix (all 2 ranks are on one host; not shm: rank 1 on name of a: needs Linux)",
        ),
        ([card("a"), card("b")], "", "rdma", "rdma (2 hosts, a rank on each)"),
        (
            [card("a"), card("b", rdma=NO_CARD), card("c", rdma=NO_CARD)],
            "",
            "tcp",
            "tcp (3 hosts, a rank on each; not rdma: rank 1 on name of b: " + NO_CARD + "; 1 more)",
        ),
        (
            [card("a"), card("b"), card("a")],
            "shm",
            "rdma",
            "shm inside 2 hosts of 1 to 2 ranks, rdma between them in 1 ring",
        ),
        (
            [card("a", shm="old"), card("b"), card("b", rdma=NO_CARD), card("a")],
            "unix",
            "tcp",
            "unix inside 2 hosts of 2 ranks; not shm: rank 0 on name of a: old, tcp between them"
            " in 2 rings; not rdma: rank 2 on name of b: " + NO_CARD,
        ),
        # What a rank that is alone on its host lacks for ranks of one host does not matter.
        ([card("a"), card("b", shm="old"), card("a")], "shm", "rdma", "shm inside 2 hosts"),
    ],
)
def test_the_best_that_all_have(cards: list[Card], inside: str, between: str, words: str) -> None:
    plan = choose(cards)
    assert (plan.inside, plan.between) == (inside, between)
    assert plan.words.startswith(words)
    assert "\n" not in plan.words


def test_ranks_are_grouped_by_host_whatever_their_order() -> None:
    plan = choose([card(host) for host in "bacab"])
    assert plan.groups == ((0, 4), (1, 3), (2,))
    assert plan.scheme(0, 4) == "unix"
    assert plan.scheme(0, 1) == "rdma"


def test_a_card_is_one_line_and_comes_back() -> None:
    mine = card("a", rdma=NO_CARD)
    assert "\n" not in mine.text()
    assert Card.read(0, mine.text()) == mine


@pytest.mark.parametrize("text", ["tcp://10.0.0.7:4711", "", "{}", "[1]", '{"host": "a"}'])
def test_a_rank_with_another_connection_is_named(text: str) -> None:
    with pytest.raises(CommunicationError, match="rank 3 came with .*all ranks need the same"):
        Card.read(3, text)


def test_what_cannot_listen_is_lacking_and_all_doors_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def listen(url: str) -> Any:
        if url.startswith("shm"):
            raise CommunicationError("no memory")
        return usual(url)

    usual = choosing.open_transport
    monkeypatch.setattr(choosing, "open_transport", listen)
    with open_doors(URL, "a") as (mine, doors):
        assert mine.host == "a" and mine.name == socket.gethostname()
        assert mine.lacks["shm"] == "no memory"
        assert {"tcp", "unix"} <= set(mine.doors) == set(doors)
        port = int(mine.doors["tcp"].rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_without_tcp_there_is_nothing_to_choose() -> None:
    with (
        pytest.raises(CommunicationError, match="cannot listen at tcp://192.0.2.1:0"),
        open_doors("auto://192.0.2.1:0", "a"),
    ):
        pass


# --- ranks ---------------------------------------------------------------------------------------


class Ring(ThreadRendezvous):
    """Counts the meetings."""

    meetings = 0

    def allgather(self, address: str) -> list[str]:
        Ring.meetings += 1
        return super().allgather(address)


@pytest.mark.parametrize("doubling", [0, 4096])
@pytest.mark.parametrize(
    ("hosts", "kind", "words"),
    [
        ("aaa", RingCommunicator, "shm (all 3 ranks are on one host)"),
        ("abc", RingCommunicator, "tcp (3 hosts, a rank on each; not rdma"),
        ("aba", HierarchicalCommunicator, "shm inside 2 hosts of 1 to 2 ranks, tcp between them"),
    ],
)
def test_ranks_come_to_one_plan_by_one_meeting(
    hosts: str, kind: type, words: str, doubling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = choosing.missing
    monkeypatch.setattr(
        choosing, "missing", lambda scheme: NO_CARD if scheme == "rdma" else usual(scheme)
    )
    monkeypatch.setattr(Ring, "meetings", 0)
    places = Ring.of(3, timeout=20)

    def call(rank: int) -> tuple[str, list[float]]:
        with connect(
            places[rank], rank, 3, URL, secret=SECRET, host=hosts[rank], doubling_bytes=doubling
        ) as group:
            base = group._base if isinstance(group, TwoPaths) else group
            assert isinstance(base, kind) and isinstance(group, TwoPaths) == bool(doubling)
            array = np.full(5000, group.rank + 1.0)
            group.allreduce(array)
            group.allreduce(array[:2])
            return group.links, array[[0, -1]].tolist()

    found = at_once([lambda rank=rank: call(rank) for rank in range(3)])
    assert found == [(found[0][0], [18.0, 6.0])] * 3
    assert found[0][0].startswith(words)
    assert Ring.meetings == 3, "a meeting in Spark takes a second"


def test_two_ranks_of_one_process_share_memory() -> None:
    def work(group: Communicator) -> str:
        group.barrier()
        return group.links

    assert run_ranks(2, work, URL) == ["shm (all 2 ranks are on one host)"] * 2


def test_all_ranks_say_what_one_of_them_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any rank waits for a link."""
    monkeypatch.setattr("minicaffe.distributed.transport.shm.missing", lambda: NO_CARD)
    errors = outcomes(3, lambda group: group.barrier(), "shm://")
    assert {type(error) for error in errors} == {DeviceError}
    expected = f"rank 0 has no shm on {socket.gethostname()}: {NO_CARD}"
    assert {str(error) for error in errors} == {expected}


def test_ranks_with_different_connections_are_told() -> None:
    places = ThreadRendezvous.of(2, timeout=20)
    urls = ["auto://127.0.0.1:0", "tcp://127.0.0.1:0"]

    def call(rank: int) -> Communicator:
        return connect(places[rank], rank, 2, urls[rank], secret=SECRET, timeout=1)

    errors = at_once([lambda: call(0), lambda: call(1)])
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert "rank 1 came with 'tcp://127.0.0.1:" in str(errors[0])


def test_further_links_listen_within_the_ports_that_are_given() -> None:
    """Four ranks need a port each, and two for pairs while these form."""
    first, last = 20_000, 32_000  # below those that the system gives away by itself
    seen: list[int] = []

    class Spy(ThreadRendezvous):
        def allgather(self, address: str) -> list[str]:
            seen.append(int(address.rpartition(":")[2]))
            return super().allgather(address)

    places = Spy.of(4, timeout=20)

    def call(rank: int) -> list[int]:
        url = f"tcp://127.0.0.1:{first}-{last}"
        with connect(places[rank], rank, 4, url, secret=SECRET) as group:
            group.barrier()
            assert isinstance(group, TwoPaths)
            links: Any = group._doubling._links.values()
            return [link._left.socket.getsockname()[1] for link in links]

    found = at_once([lambda rank=rank: call(rank) for rank in range(4)])
    ports = [port for of_rank in found for port in of_rank]
    assert all(first <= port <= last for port in (*seen, *ports))
    assert len(set(ports)) == 8


def test_a_card_holds_what_the_rendezvous_of_spark_can_carry() -> None:
    with open_doors(URL, "a") as (mine, _):
        assert json.loads(mine.text())["doors"]["tcp"].startswith("tcp://127.0.0.1:")
        assert len(mine.text()) < 2000
