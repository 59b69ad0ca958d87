"""The tool that times every way of a convolution: its layers, its numbers, what it fits."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import ways, ways_fit
from benchmarks.ways import Timed
from benchmarks.ways_layers import Layer
from minicaffe.kernels.cpu import convolution
from minicaffe.kernels.cpu._vector.instructions import LANES
from minicaffe.kernels.cpu.convolution import choice, figures
from minicaffe.kernels.cpu.convolution.plan import DATA, FORWARD, WEIGHT, Way

TINY = Layer.of("tiny", (2, 3, 9, 9), 4, {"kernel_size": 3, "pad": 1})


@pytest.fixture(scope="module")
def tiny() -> list[Timed]:
    return list(ways.measure(TINY, rounds=1))


def test_every_way_of_every_product_is_timed(tiny: list[Timed]) -> None:
    assert [each.product for each in tiny] == [FORWARD, DATA, WEIGHT]
    for each in tiny:
        every = set(choice.ways(TINY.plan.sizes, each.product, choice.LEVELS["fast"]))
        assert set(each.times) == every
        assert {way.file for way in every} >= {choice.DIRECT, choice.LINES}
        assert each.chosen() in every
        assert all(took > 0 for took in each.times.values())


def test_wrong_numbers_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution.WAYS["direct"], "forward", lambda *args: None)
    with pytest.raises(AssertionError, match=r"tiny, forward: direct is off by 1.0e\+00"):
        list(ways.measure(TINY, rounds=1))


def test_the_loss_is_the_chosen_time_by_the_least(tiny: list[Timed]) -> None:
    each = Timed(TINY, FORWARD, {})
    chosen = each.chosen()
    each.times = {chosen: 3.0, Way("another"): 2.0}
    assert each.loss() == 1.5
    each.times = {chosen: 3.0, Way("another"): 4.0}
    assert each.loss() == 1.0


def test_times_are_kept(tiny: list[Timed], tmp_path: Path) -> None:
    path = tmp_path / "kept" / "ways.json"
    ways.keep(path, tiny)
    for one, other in zip(ways.kept(path), tiny, strict=True):
        assert (one.layer.key, one.product, one.times) == (
            other.layer.key,
            other.product,
            other.times,
        )


def test_the_command_checks_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ways, "layers", lambda: [TINY])
    words = ["--times", str(tmp_path / "ways.json"), "--rounds", "1"]
    assert ways.main([*words, "--only", "tiny"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    monkeypatch.setattr(ways, "measure", lambda *args: pytest.fail("measured again"))
    assert ways.main([*words, "--kept", "--check"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{LANES} lanes, 3 products: the choice takes ")
    assert ways.main([*words, "--only", "huge"]) == 1
    assert capsys.readouterr().err == "no layer's name matches 'huge'\n"


def test_the_layers_are_those_of_the_comparison_and_of_its_nets() -> None:
    found = list(ways.layers())
    assert len({layer.key for layer in found}) == len(found)
    names = {layer.name for layer in found}
    assert {"LeNet conv1", "GoogLeNet inception_3a_5x5", "ResNet 3x3, 512, alone"} <= names


# ---- the fit


def made_up(real: figures.Figures) -> list[Timed]:
    """Products whose ways take exactly what these figures say."""
    timed = []
    for kernel, channels, size in ((3, 16, 7), (3, 64, 14), (3, 8, 28), (5, 16, 14), (5, 3, 20)):
        for images in (1, 8, 40):
            layer = Layer.of(
                "made up", (images, channels, size, size), 2 * channels,
                {"kernel_size": kernel, "pad": kernel // 2},
            )  # fmt: skip
            for product in (FORWARD, DATA, WEIGHT):
                each = Timed(layer, product, {})
                each.times = {
                    way: choice.cost(counts, real[kind]) / ways_fit.PICOSECONDS
                    for way, kind, counts in each.counted()
                }
                timed.append(each)
    return timed


def test_a_fit_finds_the_order_of_the_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    before = figures.FIGURES[LANES]
    real = {
        kind: tuple(each * (3 if kind == "winograd/lines" else 1) for each in row)
        for kind, row in before.items()
    }
    timed = made_up(real)
    table = ways_fit.Table(timed)
    lost = table.badness(np.array(list(before.values())))
    found = ways_fit.fit(timed, before)
    assert table.badness(np.array(list(found.values()))) < lost / 3
    assert found.keys() == before.keys()


def test_figures_that_no_time_speaks_of_stay() -> None:
    before = figures.FIGURES[LANES]
    values = np.array(list(before.values()))
    of_weights = ways_fit.Table(made_up(before)[2::3]).least_squares(2 * values)
    row = list(before).index("direct")
    np.testing.assert_array_equal(of_weights[row], 2 * values[row])


def test_no_figure_is_negative() -> None:
    matrix = np.array([[1.0, 1], [1, 2], [1, 3]])
    np.testing.assert_allclose(ways_fit.not_negative(matrix, np.array([3.0, 5, 7])), [1, 2])
    assert (ways_fit.not_negative(matrix, np.array([3.0, 2, 1])) >= 0).all()


def test_the_file_of_figures_is_what_is_written(tmp_path: Path) -> None:
    ways_fit.write(figures.FIGURES, tmp_path / "figures.py")
    assert (tmp_path / "figures.py").read_text() == Path(figures.__file__).read_text()
    for row in figures.FIGURES.values():
        assert all(len(each) == len(choice.Counts._fields) for each in row.values())
