"""The program around the model: tables, buckets, speed-ups, the check, the command."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.models import lenet
from benchmarks.scale import __main__ as program
from benchmarks.scale import check, links, measure, page, picture, speed_up, tables
from benchmarks.scale.network import Link
from minicaffe.distributed.sync.allreduce import plan_buckets
from minicaffe.net.cost import layer_cost
from minicaffe.net.net import Net

RANKS = (1, 2, 4, 8, 16)
FAST = Link("fast", 1e-6, 1e10)


@pytest.mark.parametrize("least", [1, 1 << 17, 1 << 20])
def test_a_table_has_the_layers_and_the_buckets_of_its_net(least: int) -> None:
    table, net = tables.load("lenet"), Net(lenet.net(64))
    costs = [layer_cost(net, index) for index in range(len(net.nodes))]
    assert [layer.name for layer in table.layers] == net.layer_names
    assert [sum(layer.parameters) for layer in table.layers] == [cost.learnable for cost in costs]
    assert [layer.forward_flops for layer in table.layers] == [cost.forward_flops for cost in costs]
    assert table.buckets(least) == plan_buckets(net, least)


@pytest.mark.parametrize("net", tables.nets())
def test_tables_are_whole(net: str) -> None:
    table = tables.load(net)
    work = table.work()
    assert len(tables.nets()) == 5
    assert all(layer.forward_ms >= 0 and layer.backward_ms >= 0 for layer in table.layers)
    assert work.size == 4 * table.parameters
    each = sum(layer.forward_ms + layer.backward_ms for layer in table.layers)
    assert 1e3 * work.compute == pytest.approx(each + table.update_ms)
    half = table.work(table.batch / 2)
    assert half.compute - half.update == pytest.approx((work.compute - work.update) / 2)


@pytest.mark.parametrize("device", tables.published())
def test_published_totals_are_shared_out(device: str) -> None:
    for net, figures in tables.published()[device]["nets"].items():
        table = tables.load(net, device)
        total = figures["forward_ms"] + figures["backward_ms"]
        assert 1e3 * table.work().compute == pytest.approx(total)
        assert table.batch == figures["batch"]


def test_what_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(ValueError, match=r"no table of 'alexnet' \(there are: caffenet, "):
        tables.load("alexnet")
    with pytest.raises(ValueError, match=r"no device 'k90' \(there are: cpu, k40-cudnn"):
        tables.load("lenet", "k90")
    with pytest.raises(ValueError, match=r"nothing is published of lenet on k80 \(there are: caff"):
        tables.load("lenet", "k80")
    with pytest.raises(ValueError, match=r"no link 'token-ring' \(there are: ethernet-1, "):
        links.link_of("token-ring")


def test_speed_up_is_never_above_the_ranks() -> None:
    table = tables.load("googlenet", "k80")
    for way in ("ring", "hierarchy", "sparknet"):
        plan = speed_up.Plan(table, way, FAST, per_host=4)
        reached = [speed_up.speed_up(plan, ranks) for ranks in RANKS]
        assert reached[0] == pytest.approx(1)
        assert all(each <= ranks * (1 + 1e-9) for each, ranks in zip(reached, RANKS, strict=True))
        assert reached == sorted(reached)


def test_strong_scaling_ends_with_the_images() -> None:
    plan = speed_up.Plan(tables.load("googlenet", "k80"), "ring", FAST, total=8)
    assert speed_up.speed_up(plan, 8) > 4
    assert speed_up.speed_up(plan, 9) is None


@pytest.mark.parametrize(("per_host", "wanted"), [(1, 19), (4, 19), (1, 3.5)])
def test_the_fewest_ranks_reach_it_and_one_host_less_does_not(per_host: int, wanted: float) -> None:
    plan = speed_up.Plan(tables.load("googlenet", "k80"), "hierarchy", FAST, per_host)
    fewest = speed_up.least_ranks(plan, wanted)
    assert speed_up.speed_up(plan, fewest) >= wanted
    assert speed_up.speed_up(plan, fewest - per_host) < wanted
    slow = plan._replace(link=Link("slow", 1.0, 1e3))
    assert speed_up.least_ranks(slow, wanted, (1, 2, 4, 64)) is None


@pytest.mark.parametrize(
    "made",
    [
        Link("loopback", 20e-6, check.MEMORY, per_byte=0.2e-9),
        Link("1 Gbit/s", 50e-6, 0.12e9, per_byte=0.1e-9),
    ],
    ids=lambda link: link.name,
)
@pytest.mark.parametrize("ranks", [2, 4])
def test_the_fit_finds_the_link_that_made_the_times(made: Link, ranks: int) -> None:
    sums = []
    for size in (1 << 14, 1 << 18, 1 << 23):
        spent = 4e3 * size * (ranks - 1) * made.per_byte
        run = {"place": made.name, "ranks": ranks, "bytes": size, "cpu_ms": spent}
        sums.append(run | {"ms": check.alone(run, made)})
    found = check.fitted(made.name, sums)
    for column in ("latency", "bandwidth", "per_byte"):
        assert getattr(found, column) == pytest.approx(getattr(made, column), rel=1e-3)
    assert check.alone(sums[1], found) == pytest.approx(sums[1]["ms"], rel=1e-3)
    with pytest.raises(ValueError, match="10 Gbit/s: two allreduces of as many ranks are"):
        check.fitted("10 Gbit/s", sums)


def test_ranks_that_wait_for_a_core_take_their_turns() -> None:
    layer = {"name": "ip", "type": "InnerProduct", "backward_ms": 2.0, "parameters": 1000}
    net = {"net": "one", "batch": 1, "ranks": 4, "forward_ms": 1.0, "update_ms": 0.5,
           "alone_ms": 4.0, "layers": [layer]}  # fmt: skip
    work = check.work_of(net)
    assert work.size == 4000
    assert work.compute == pytest.approx(0.002)  # of a core; two ranks at a time, so 4 ms for four
    assert check.work_of(net | {"ranks": 2}).compute == pytest.approx(0.004)


def test_the_check_has_a_row_for_each_measured_run() -> None:
    records, found = check.measured(), check.rows()
    assert len(found) == len(records["sums"]) + len(records["runs"])
    assert all(row.measured > 0 and row.predicted > 0 for row in found)
    assert sum(row.fitted for row in found) == 2 * len({run["place"] for run in records["sums"]})
    lines = check.report(found).splitlines()
    assert len([line for line in lines if line.startswith("| ")]) == len(found) + 1


def test_test_hosts_are_taken_out_of_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "MEASURED", tmp_path / "measured" / "loopback.json")
    report = {"machine": {}, "load": [], "nets": [], "devices": [], "sums": [
        {"place": "1 Gbit/s", "contender": "tcp"}, {"place": "1 Gbit/s", "contender": "mpi"},
        {"place": "loopback", "contender": "tcp"},
    ], "runs": [{"place": "1 Gbit/s", "ms": 1.0, "all_ms": [1.0]}]}  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(report))
    measure.keep_hosts(argparse.Namespace(reports=[tmp_path / "report.json"]))
    kept = json.loads((tmp_path / "measured" / "hosts.json").read_text())
    assert kept["sums"] == [{"place": "1 Gbit/s", "contender": "tcp"}]
    assert kept["runs"] == [{"place": "1 Gbit/s", "ms": 1.0}]


def test_the_command_prints_a_row_a_way_and_link(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways, chosen = ["--ways", "ring", "sparknet"], ["--links", "ethernet-1", "ethernet-10"]
    words = ["--net", "lenet", *ways, *chosen, "--ranks", "1", "4"]
    monkeypatch.setattr("sys.argv", ["scale", *words])
    program.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lenet on cpu, batch 64, 1.7 MB")
    assert [line.split(" | ")[:2] for line in lines[3:]] == [
        ["| ring", "ethernet-1"],
        ["| ring", "ethernet-10"],
        ["| sparknet", "ethernet-1"],
        ["| sparknet", "ethernet-10"],
    ]
    assert all(line.split(" | ")[2] == "1" for line in lines[3:])


def test_numbers_are_short() -> None:
    assert [page.digits(each) for each in (None, 1.2345, 19.04, 1234.5)] == [
        "-", "1.23", "19", "1234",
    ]  # fmt: skip
    options = SimpleNamespace(reach=19, ranks=(1, 2))
    plan = speed_up.Plan(tables.load("lenet"), "ring", FAST)
    assert program.cells(plan, options) == ["never"]


def test_the_page_is_filled_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PARTS", {"one": lambda: "| a |", "two": lambda: "| b |"})
    path = tmp_path / "scale.md"
    path.write_text("x\n<!-- one: begin -->\nold\n<!-- one: end -->\ny\n")
    for _ in range(2):
        page.fill(["one"], path)
        text = "x\n<!-- one: begin -->\n\n| a |\n\n<!-- one: end -->\ny\n"
        assert path.read_text() == text
    with pytest.raises(SystemExit, match="has no lines '<!-- two: begin -->'"):
        page.fill(["two"], path)
    assert path.read_text() == text


def test_the_page_has_a_place_for_every_part() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for name in page.PARTS:
        assert f"<!-- {name}: begin -->" in text
        assert f"<!-- {name}: end -->" in text


def test_the_picture_has_every_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(picture, "RANKS", (1, 2))
    monkeypatch.setattr(picture, "ROWS", picture.ROWS[:1])
    monkeypatch.setattr(picture, "COLUMNS", picture.COLUMNS[:1])
    picture.draw(tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
    names = [picture.label(*variant) for variant in picture.VARIANTS]
    assert len(set(names)) == len(names) == 8
