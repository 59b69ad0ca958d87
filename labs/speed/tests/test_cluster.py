"""Task cluster: the speed-up of ranks on two links, by the formula of the ring."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from minicaffe.labs.clock import Link

FORWARD, BACKWARD, UPDATE, SIZE = 0.040, 0.080, 0.005, 50e6
LINKS = {"ethernet": Link(50e-6, 8e-9), "infiniband": Link(1.2e-6, 0.147e-9)}
MOST = 4096  # ranks


def speed_up(link: Link, ranks: int, overlap: bool) -> float:
    """Images a second of so many ranks, by those of one."""
    reduce = link.seconds(2 * (ranks - 1), 2 * (ranks - 1) / ranks * SIZE)
    both = max(BACKWARD, reduce) if overlap else BACKWARD + reduce
    return ranks * (FORWARD + BACKWARD + UPDATE) / (FORWARD + both + UPDATE)


def given(lab_folder: Path) -> Any:
    """What the student wrote."""
    return tomllib.loads((lab_folder / "cluster.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("ranks", [2, 4, 16])
@pytest.mark.parametrize("how", ["apart", "overlap"])
@pytest.mark.parametrize("name", LINKS)
def test_speed_up(lab_folder: Path, name: str, how: str, ranks: int) -> None:
    """To 2 %."""
    mine = given(lab_folder).get(name, {}).get(how, {}).get(str(ranks), 0)
    expected = speed_up(LINKS[name], ranks, how == "overlap")
    assert isinstance(mine, int | float), (
        f"cluster.toml, {name}, {how}, {ranks} ranks: {mine!r} where a number is expected"
    )
    assert mine == pytest.approx(expected, rel=0.02), (
        f"cluster.toml, {name}, {how}, {ranks} ranks: speed-up {mine:g} is not what the formula"
        f" gives{reason(mine, expected, ranks)}"
    )


def reason(mine: float, expected: float, ranks: int) -> str:
    """The usual mistakes."""
    if mine == pytest.approx(expected / ranks, rel=0.02):
        return ": each rank brings a batch of its own, so P ranks make P batches an iteration"
    if mine > ranks:
        return f": {ranks} ranks cannot be more than {ranks} times as fast"
    return ""


def test_of_no_use(lab_folder: Path) -> None:
    """Up to how many ranks the ethernet makes it slower than one rank."""
    mine = given(lab_folder).get("words", {}).get("useless_up_to", -1)
    below = [n for n in range(2, MOST) if speed_up(LINKS["ethernet"], n, True) < 1]
    expected = below[-1] if below else 0
    assert mine == expected, (
        f"cluster.toml, useless_up_to = {mine}: compute the speed-up on ethernet with overlap for a"
        " few numbers of ranks; which are below 1?"
    )
