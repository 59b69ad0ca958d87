"""Which card a link goes over, and what is said where there is none; no card is needed here."""

import ipaddress
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from minicaffe.distributed import transport
from minicaffe.distributed.transport import open_transport, rdma
from minicaffe.distributed.transport._verbs import cards, device, library
from minicaffe.distributed.transport._verbs.cards import Card, Gid, Wish, card_of, pick_gid
from minicaffe.distributed.transport._verbs.queue_pair import acknowledge_exponent
from minicaffe.errors import CommunicationError

CLASSES = library._CLASSES


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /sys and a /dev without a card, and no wish in the environment."""
    for name in ("DEVICES", "FILES", "NODES"):
        monkeypatch.setattr(cards, name, tmp_path / name)
    monkeypatch.delenv(cards.VARIABLE, raising=False)
    monkeypatch.setattr(cards.platform, "system", lambda: "Linux")
    return tmp_path


@pytest.fixture
def pyverbs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a package pyverbs in place that has the names of a version; `None` takes it away."""

    def install(enums: str | None) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyverbs"]:
            monkeypatch.delitem(sys.modules, name)
        library.verbs.cache_clear()
        monkeypatch.setitem(sys.modules, "pyverbs", None if enums is None else ModuleType("p"))  # type: ignore[arg-type]
        if enums is None:
            return
        for module, names in CLASSES.items():
            made = ModuleType(f"pyverbs.{module}")
            for name in names:
                setattr(made, name, type(name, (Exception,), {}))
            monkeypatch.setitem(sys.modules, f"pyverbs.{module}", made)
        kinds = ModuleType(enums)
        kinds.IBV_WC_SUCCESS = 0  # type: ignore[attr-defined]
        kinds.IBV_WC_RETRY_EXC_ERR = 12  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"pyverbs.{enums}", kinds)

    yield install
    library.verbs.cache_clear()


def add_card(
    machine: Path,
    name: str,
    state: str = "4: ACTIVE",
    gids: dict[int, tuple[str, str]] | None = None,
    port: int = 1,
    node: bool = True,
) -> None:
    """A device as Linux shows it; gids by their number: (address, type)."""
    number = len(list((machine / "FILES").iterdir())) if (machine / "FILES").exists() else 0
    table = machine / "DEVICES" / name / "ports" / str(port)
    for folder in ("gids", "gid_attrs/types"):
        (table / folder).mkdir(parents=True)
    (table / "state").write_text(f"{state}\n")
    for index, (address, kind) in ({0: ("fe80::1", "RoCE v2")} if gids is None else gids).items():
        (table / "gids" / str(index)).write_text(ipaddress.IPv6Address(address).exploded + "\n")
        if kind:
            (table / "gid_attrs/types" / str(index)).write_text(f"{kind}\n")
    (machine / "FILES" / f"uverbs{number}").mkdir(parents=True)
    (machine / "FILES" / f"uverbs{number}" / "ibdev").write_text(f"{name}\n")
    (machine / "NODES").mkdir(exist_ok=True)
    if node:
        (machine / "NODES" / f"uverbs{number}").touch()


# --- what is missing -----------------------------------------------------------------------------


def test_a_machine_without_a_card_says_so_in_one_line(machine: Path) -> None:
    line = transport.missing("rdma")
    assert line.startswith("this machine has no RDMA device (")
    assert "docs/rdma.md" in line and "\n" not in line
    with pytest.raises(CommunicationError, match="'rdma://127.0.0.1:0': this machine has no RDMA"):
        open_transport("rdma://127.0.0.1:0")


def test_elsewhere_than_on_linux_there_is_none(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards.platform, "system", lambda: "Darwin")
    assert transport.missing("rdma") == "RDMA needs Linux; take tcp"


def test_a_card_that_a_container_cannot_open(machine: Path) -> None:
    add_card(machine, "mlx5_0", node=False)
    line = transport.missing("rdma")
    assert "mlx5_0 cannot be opened" in line and "--device=/dev/infiniband" in line


def test_a_port_that_is_down(machine: Path, pyverbs: Any) -> None:
    add_card(machine, "mlx5_0", state="1: DOWN")
    assert "no port of an RDMA device is active (mlx5_0 port 1: 1: DOWN)" in rdma.missing()


def test_a_device_that_is_not_there_is_answered_with_those_that_are(machine: Path) -> None:
    add_card(machine, "mlx5_0")
    with pytest.raises(CommunicationError, match=r"no RDMA device mlx5_7 \(there is: mlx5_0\)"):
        open_transport("rdma://127.0.0.1:0?device=mlx5_7")


def test_without_pyverbs_the_package_is_named(machine: Path, pyverbs: Any) -> None:
    add_card(machine, "mlx5_0")
    pyverbs(None)
    line = rdma.missing()
    assert "pyverbs is not there for Python 3." in line
    assert "apt-get install python3-pyverbs" in line and "\n" not in line


@pytest.mark.parametrize("enums", ["enums", "libibverbs_enums"])
def test_pyverbs_has_the_names_of_44_or_of_59(machine: Path, pyverbs: Any, enums: str) -> None:
    add_card(machine, "mlx5_0")
    pyverbs(enums)
    assert rdma.missing() == ""
    assert library.verbs().enums.IBV_WC_RETRY_EXC_ERR == 12
    assert library.status_name(12) == "IBV_WC_RETRY_EXC_ERR"
    assert library.status_name(99) == "status 99"


def test_a_channel_of_59_tells_its_file_and_one_of_44_is_found(
    pyverbs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyverbs("libibverbs_enums")
    channels = library.verbs()

    class Tells:
        fd = 17

        def __init__(self, context: object) -> None:
            pass

    monkeypatch.setattr(channels, "CompChannel", Tells)
    assert library.new_channel(None)[1] == 17

    class Old:
        def __init__(self, context: object) -> None:
            there.add(23)

    there = {4, 5}
    monkeypatch.setattr(channels, "CompChannel", Old)
    monkeypatch.setattr(library, "_event_files", lambda: set(there))
    assert library.new_channel(None)[1] == 23


# --- the choice ----------------------------------------------------------------------------------

LOCAL, MAPPED, OTHER, ROUTED = "fe80::1", "::ffff:10.0.0.7", "::ffff:10.1.0.7", "2001:db8::7"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(0, LOCAL, "RoCE v2"), (1, MAPPED, "RoCE v2")], 1),
        ([(0, LOCAL, "IB/RoCE v1"), (2, MAPPED, "IB/RoCE v1"), (3, MAPPED, "RoCE v2")], 3),
        ([(1, OTHER, "RoCE v2"), (5, MAPPED, "RoCE v2")], 5),  # that of the host
        ([(0, LOCAL, "RoCE v2"), (4, ROUTED, "RoCE v2")], 4),
        ([(0, LOCAL, "RoCE v2"), (4, ROUTED, "RoCE v2"), (6, OTHER, "RoCE v2")], 6),
        ([(0, "fe80::ec0d:9a03:ff1:2", "")], 0),  # InfiniBand
        ([], None),
    ],
)
def test_the_gid_is_one_of_roce_v2_and_of_this_host(
    entries: list[tuple[int, str, str]], expected: int | None
) -> None:
    table = [Gid(number, ipaddress.IPv6Address(a), kind) for number, a, kind in entries]
    assert pick_gid(table, "10.0.0.7") == expected


def test_every_active_port_is_a_card(machine: Path, pyverbs: Any) -> None:
    pyverbs("enums")
    v2 = {0: (LOCAL, "RoCE v2"), 1: (MAPPED, "RoCE v2"), 2: ("::", "")}
    add_card(machine, "mlx5_1", gids=v2)
    add_card(machine, "mlx5_0", gids={0: ("fe80::2", "")}, port=2)
    add_card(machine, "mlx5_2", state="1: DOWN")
    add_card(machine, "mlx5_3", node=False)
    first, second = Card("mlx5_0", 2, 0), Card("mlx5_1", 1, 1)
    assert cards.choose(Wish(), "10.0.0.7") == [first, second]
    assert cards.choose(Wish(("mlx5_1", "mlx5_0")), "10.0.0.7") == [second, first]
    assert cards.choose(Wish(port=2), "") == [first]
    assert cards.choose(Wish(("mlx5_1",), gid=0), "") == [Card("mlx5_1", 1, 0)]
    with pytest.raises(CommunicationError, match="no port of an RDMA device is active"):
        cards.choose(Wish(port=3), "")


def test_a_port_without_a_gid_is_named(machine: Path, pyverbs: Any) -> None:
    pyverbs("enums")
    add_card(machine, "rxe0", gids={0: ("::", "")})
    with pytest.raises(CommunicationError, match="the interface needs an IP address"):
        cards.choose(Wish(), "")


def test_both_ends_of_a_link_take_the_same_card_and_a_rank_takes_two() -> None:
    two = [Card("mlx5_0", 1, 3), Card("mlx5_1", 1, 3)]
    for ranks in (2, 3, 4):
        by_link = [card_of(two, link) for link in range(ranks)]
        assert set(by_link) == set(two)
        if ranks % 2 == 0:
            assert all(by_link[rank] != by_link[rank - 1] for rank in range(ranks))
    assert card_of(two[:1], 5) == two[0]


def test_a_wish_is_read_from_the_url_or_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(cards.VARIABLE, "device=rxe0&gid=1")
    assert cards.wish_of("") == Wish(("rxe0",), None, 1)
    monkeypatch.setenv(cards.VARIABLE, "card=rxe0")
    assert rdma.missing().startswith("MINICAFFE_RDMA: 'card=rxe0' does not choose an RDMA card")
    assert cards.wish_of("device=mlx5_0,mlx5_1&port=2&gid=3") == Wish(("mlx5_0", "mlx5_1"), 2, 3)


@pytest.mark.parametrize("text", ["card=mlx5_0", "port=first", "gid=", "gid=-1", "device=a&x=1"])
def test_a_wish_that_is_none_is_answered_with_its_form(text: str) -> None:
    with pytest.raises(CommunicationError, match=r"device=NAME,NAME&port=NUMBER&gid=NUMBER"):
        cards.read_wish(text)


# --- measures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "longest"), [(0.5, 0.5), (2.0, 2.0), (60.0, 8.0), (1e9, 8.0), (1e-6, 0.1)]
)
def test_a_silent_card_is_given_up_within_the_timeout(timeout: float, longest: float) -> None:
    exponent = acknowledge_exponent(timeout)
    assert 7 * 4.096e-6 * 2**exponent <= longest
    assert exponent == 8 or 7 * 4.096e-6 * 2 ** (exponent + 1) > longest


def test_advice_is_given_where_memory_cannot_be_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failure(Exception):
        error_code = 12

    limits = [(8 << 20, 8 << 20), (device.resource.RLIM_INFINITY,) * 2]
    monkeypatch.setattr(device.resource, "getrlimit", lambda _: limits.pop(0))
    assert "may lock 8192 KiB of memory (ulimit -l): raise memlock in" in device._advice(Failure())
    assert "used up" in device._advice(Failure())
    assert device._advice(ValueError()) == ""
