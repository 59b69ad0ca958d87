"""What can go wrong between two ranks over RDMA: an error that names the peer, in time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.frames import Kind, make_frame, seal
from minicaffe.distributed.rendezvous import ThreadRendezvous, connect
from minicaffe.distributed.transport import missing
from minicaffe.distributed.transport._verbs import device
from minicaffe.distributed.transport._verbs.library import verbs
from minicaffe.errors import CommunicationError
from tests.ranks import SECRET, at_once, outcomes
from tests.rdma.neighbour import COUNT

pytestmark = pytest.mark.skipif(bool(missing("rdma")), reason=missing("rdma"))

URL = "rdma://127.0.0.1:0"


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    assert device._open == {}


# --- a neighbour that is a process ---------------------------------------------------------------


class Neighbour:
    """Rank 1, as a process, and the rendezvous of rank 0 with it."""

    def __init__(self, published: Path, checkout: Path) -> None:
        self._published = published
        command = [sys.executable, "-m", "tests.rdma.neighbour", str(published)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=checkout)

    def allgather(self, address: str) -> list[str]:
        """Both addresses."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{address}\n")
        self.process.stdin.flush()
        while not (self._published.exists() and self._published.read_text()):
            assert self.process.poll() is None
            time.sleep(0.05)
        return [address, self._published.read_text()]


@pytest.fixture
def neighbour(tmp_path: Path, checkout: Path) -> Iterator[Neighbour]:
    made = Neighbour(tmp_path / "address", checkout)
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.parametrize(
    ("number", "words", "longest"),
    [(signal.SIGKILL, "closed the link|broke", 10), (signal.SIGSTOP, "is silent", 20)],
    ids=["killed", "stalled"],
)
def test_a_process_that_ends_or_stalls_is_named(
    neighbour: Neighbour, number: int, words: str, longest: float
) -> None:
    timeout = 4.0 if number == signal.SIGSTOP else 60.0
    with connect(neighbour, 0, 2, URL, secret=SECRET, timeout=60, doubling_bytes=0) as ring:
        for _ in range(3):
            ring.allreduce(np.ones(COUNT, np.float32))
        ring._transport._timeout = timeout  # type: ignore[attr-defined]
        threading.Timer(0.3, neighbour.process.send_signal, [number]).start()
        with pytest.raises(CommunicationError, match=rf"rank 0: .*rank 1 at .*({words})"):
            for _ in range(100_000):
                ring.allreduce(np.ones(COUNT, np.float32))
                began = time.monotonic()
        assert time.monotonic() - began < longest


# --- a neighbour that does not keep the rules ----------------------------------------------------


def played(rank_1: Callable[[Any], object], timeout: float = 20.0) -> list[Any]:
    """What two ranks come to, of which rank 1 plays something else with its transport."""

    def work(ring: Communicator) -> object:
        if ring.rank == 1:
            return rank_1(ring._transport)  # type: ignore[attr-defined]
        ring.iteration = 5
        ring.allreduce(np.ones(1000, np.float32))
        return "no error"

    began = time.monotonic()
    found = outcomes(2, work, URL, timeout=timeout)
    assert time.monotonic() - began < 30
    assert isinstance(found[0], CommunicationError), found
    return found


def await_credit(transport: Any) -> tuple[bytes, int, int]:
    """What rank 0 says of the frame that it awaits."""
    until = time.monotonic() + 20
    while not transport._right._credits and time.monotonic() < until:
        transport._right.push(None)
        time.sleep(0.01)
    return tuple(transport._right._credits[0])  # type: ignore[return-value]


def settle(transport: Any) -> None:
    """Wait until the neighbour's card has everything, and the neighbour has hung up."""
    until = time.monotonic() + 20
    while time.monotonic() < until and transport._right.socket.fileno() >= 0:
        transport._right.pair.progress()
        transport._right.hear()
        if transport._right.hung_up is not None:
            return
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\xff" * 32, "sent no frame: it begins with"),
        (b"MCR1" + b"\xff" * 28, "sent a frame out of turn: kind 255 instead of 1"),
        (b"", "sent no frame: 0 bytes instead of 32"),
        (
            seal(make_frame(Kind.ALLREDUCE, 1, 0, 0, 0, 5, memoryview(bytearray(1996)))),
            "length 1996 instead of 2000",
        ),
    ],
    ids=["garbage", "garbage after the magic", "nothing", "wrong length"],
)
def test_a_header_that_is_none_is_named(message: bytes, words: str) -> None:
    def rank_1(transport: Any) -> None:
        transport._right.pair.tell(message)
        settle(transport)

    error = str(played(rank_1)[0])
    assert error.startswith("rank 0: rank 1 at 127.0.0.1:")
    assert words in error
    assert "awaiting frame 0 of allreduce 0 (iteration 5" in error


def test_a_message_that_is_not_the_next_is_named() -> None:
    def rank_1(transport: Any) -> None:
        transport._right.pair._told = 3
        transport._right.pair.tell(b"late")
        settle(transport)

    assert "sent message 3 where 0 was due" in str(played(rank_1)[0])


def test_a_credit_that_is_none_is_named() -> None:
    def rank_1(transport: Any) -> None:
        transport._left.pair.tell(b"a place")
        settle(transport)

    assert "rank 0: rank 1 at 127.0.0.1:" in str(error := played(rank_1)[0])
    assert "sent no credit: b'a place'" in str(error)


def test_ranks_that_disagree_do_not_touch_each_other() -> None:
    """The array of another length stays as it was: only a header comes."""
    kept: list[Any] = []

    def work(ring: Communicator) -> None:
        array = np.full(10 + 2 * ring.rank, ring.rank + 1.0)
        kept.append(array)
        ring.allgather(array)

    errors = outcomes(2, work, URL)
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert "length 48 instead of 40" in str(errors[0])
    for array in kept:
        assert set(array) == {array[0]}


def test_memory_that_was_not_given_cannot_be_written() -> None:
    """The card of rank 0 refuses; both hear of it."""

    def rank_1(transport: Any) -> str:
        _, address, key = await_credit(transport)
        pair = transport._right.pair
        mine = np.ones(64, np.uint8)
        pair.write(pair.device.place(mine.data), 0, 64, address, key ^ 0xFF00)
        until = time.monotonic() + 20
        with pytest.raises(CommunicationError, match="IBV_WC_REM_ACCESS_ERR") as caught:
            while time.monotonic() < until:
                pair.progress()
        return str(caught.value)

    errors = played(rank_1, timeout=5.0)
    assert "the link to rank 0 at 127.0.0.1:" in errors[1]


def test_a_queue_pair_that_fails_is_named() -> None:
    def rank_1(transport: Any) -> str:
        await_credit(transport)
        kinds = verbs().enums
        broken = verbs().QPAttr(qp_state=kinds.IBV_QPS_ERR)
        transport._right.pair._pair.modify(broken, kinds.IBV_QP_STATE)
        frame = make_frame(Kind.ALLREDUCE, 1, 0, 0, 0, 5, memoryview(bytearray(2000)))
        with pytest.raises(CommunicationError) as caught:
            list(transport.sendrecv([frame], [], 1))
        return str(caught.value)

    errors = played(rank_1)
    assert "rank 1: the link to rank 0 at" in errors[1] and "IBV_WC_WR_FLUSH_ERR" in errors[1]
    assert "rank 0: rank 1 at 127.0.0.1:" in str(errors[0])


def test_words_beside_the_card_are_refused() -> None:
    def rank_1(transport: Any) -> None:
        transport._right.socket.send(b"GET / HTTP/1.0")
        settle(transport)

    assert "rank 1 at 127.0.0.1" in str(error := played(rank_1)[0])
    assert "sent b'GET / HTTP/1.0' beside its card" in str(error)


def test_a_neighbour_that_closes_half_way_is_named() -> None:
    def rank_1(transport: Any) -> None:
        await_credit(transport)
        transport.close()

    assert "rank 1 at 127.0.0.1" in str(error := played(rank_1)[0])
    assert "closed the link" in str(error)


def test_a_rank_of_another_generation_has_no_seat() -> None:
    meeting = ThreadRendezvous.of(2)

    def call(rank: int) -> None:
        with connect(
            meeting[rank], rank, 2, URL, secret=SECRET, timeout=3, generation=7 + rank
        ) as ring:
            ring.barrier()

    errors = at_once([lambda: call(0), lambda: call(1)])
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert any("generation" in str(error) for error in errors)


def test_a_neighbour_without_a_card_is_named() -> None:
    """It has proved itself, and hangs up where its card was due."""

    def fails(*args: object) -> None:
        raise CommunicationError("cannot open the RDMA card")

    meeting = ThreadRendezvous.of(2)
    lacks = threading.local()
    opened = device.Device.__init__

    def only_rank_0(self: device.Device, card: device.Card) -> None:
        if getattr(lacks, "it", False):
            fails()
        opened(self, card)

    def call(rank: int) -> None:
        lacks.it = rank == 1
        with connect(meeting[rank], rank, 2, f"{URL}?device=rxe{rank}", secret=SECRET, timeout=9):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device.Device, "__init__", only_rank_0)
        errors = at_once([lambda: call(0), lambda: call(1)])
    assert "cannot open the RDMA card" in str(errors[1])
    assert "rank 1 at 127.0.0.1" in str(errors[0])
    assert "closed the link before its card was connected" in str(errors[0])


def test_a_card_that_does_not_answer_is_named() -> None:
    """As when a cable is pulled, the TCP connection says nothing of it: the other card gives up."""
    gone, done = threading.Event(), threading.Event()

    def work(ring: Communicator) -> None:
        if ring.rank == 1:
            ring._transport._right.pair._pair.close()  # type: ignore[attr-defined]
            gone.set()
            done.wait(60)
            return
        gone.wait(60)
        try:
            ring.allreduce(np.ones(1000, np.float32))
        finally:
            done.set()

    began = time.monotonic()
    error = str(outcomes(2, work, URL, timeout=4.0)[0])
    assert time.monotonic() - began < 30
    assert "the link to rank 1 at 127.0.0.1:" in error and "(IBV_WC_RETRY_EXC_ERR)" in error


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody with a limit")
def test_memory_that_may_not_be_locked_is_answered_with_advice(checkout: Path) -> None:
    program = """
import os, resource
import numpy as np
from minicaffe.errors import CommunicationError
from minicaffe.distributed.transport._verbs import cards, device
from minicaffe.distributed.transport._verbs.library import verbs
verbs()
card = device.opened(cards.choose(cards.wish_of(""), "")[0])
large = np.ones(4 << 20, np.float32)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
os.setuid(65534)
try:
    card.place(large.data)
except CommunicationError as error:
    print(error)
card.place(large[:1000].copy().data)
card.release()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True
    )
    assert "cannot register 16777216 bytes with rxe0" in done.stdout, done.stderr
    assert "may lock 1024 KiB of memory (ulimit -l): raise memlock in" in done.stdout
    assert done.returncode == 0, done.stderr
