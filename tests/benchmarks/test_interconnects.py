"""The interconnect suite: test hosts that come and go, sums that are checked, counted and shown."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.interconnects import __main__ as suite
from benchmarks.interconnects import devices, netlab, pictures, sums, tables, training
from benchmarks.interconnects.crew import Crew, Failed, Seat, here, seats
from benchmarks.interconnects.netlab import Netlab
from benchmarks.interconnects.places import LOOPBACK, Manned, possible
from benchmarks.interconnects.work import Rank

CHECKOUT = Path(__file__).resolve().parents[2]
needs_hosts = pytest.mark.skipif(bool(netlab.missing()), reason=netlab.missing() or "can be had")


class Alone:
    """A suite with one rank."""

    def allgather(self, value):
        return [value]

    def barrier(self) -> None:
        pass


def record(contender: str, size: int, ms: float, **more) -> dict:
    usual = {"place": "1 Gbit/s", "ranks": 2, "bytes": size, "contender": contender, "ms": ms,
             "low": ms, "high": ms, "cpu_ms": ms, "wire": 1.01 * size, "bound": float(size),
             "share": 0.5}  # fmt: skip
    return {**usual, **more}


def run(way: str, ms: float, waited: float) -> dict:
    return {"net": "LeNet", "batch": 64, "hosts": 2, "ranks": 4, "place": "1 Gbit/s", "way": way,
            "ms": ms, "waited_ms": waited}  # fmt: skip


def report(**lists) -> dict:
    empty = {key: [] for key in tables.LISTS}
    return {"machine": {"processor": "one"}, "others": {}, **empty, **lists}


def gone(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- test hosts ----------------------------------------------------------------------------------


@needs_hosts
def test_hosts_go_with_their_owner_whatever_ends_it(tmp_path):
    program = (
        "import signal\n"
        "from benchmarks.interconnects.netlab import Netlab\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below nohup\n"
        "lab = Netlab(2)\n"
        "print(lab.switch, *(host.keeper for host in lab.hosts), flush=True)\n"
        "input()\n"
    )
    for ending in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        owner = subprocess.Popen(
            [sys.executable, "-c", program], cwd=CHECKOUT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        keepers = [int(word) for word in owner.stdout.readline().split()]
        assert len(keepers) == 3 and not any(map(gone, keepers))
        owner.send_signal(ending)
        owner.wait()
        wait_for(lambda keepers=keepers: all(map(gone, keepers)))
        owner.stdin.close()
        owner.stdout.close()


@needs_hosts
def test_a_ring_on_test_hosts_sends_the_least_and_no_faster_than_the_link():
    size, ranks = 1 << 20, 3
    with Netlab(ranks) as lab, Crew(sys.executable, seats(lab.hosts, ranks)) as crew:
        manned = Manned(crew, lab, 1, True)
        assert sums.form(manned, ["tcp"]) == {}
        lab.limit("100mbit")
        (found,) = sums.measure_size(manned, "100 Mbit/s", ranks, size // 4, budget=0.1)
    assert found["bound"] == 2 * size * 2 / 3
    assert 1 < found["wire"] / found["bound"] < 1.15  # a chunk too many would be 1.25
    assert 0 < found["share"] < 1.1  # what a bucket of tokens holds goes at once


@needs_hosts
def test_a_loopback_of_its_own_counts_only_what_ranks_send():
    with Netlab(1, bridge=False) as lab, Crew(sys.executable, seats(lab.hosts, 2)) as crew:
        manned = Manned(crew, lab, 2, True)
        sums.form(manned, ["tcp", "unix"])
        found = {
            each["contender"]: each["wire"] / each["bound"]
            for each in sums.measure_size(manned, LOOPBACK, 2, 1 << 16, budget=0.05)
        }
        with pytest.raises(ValueError, match="no limit"):
            lab.limit("1gbit")
    assert 1 < found["tcp"] < 1.1 and found["unix"] == 0


def test_without_root_the_loopback_remains(monkeypatch):
    monkeypatch.setattr("benchmarks.interconnects.places.missing", lambda: "it takes root")
    places, words = possible([LOOPBACK, "1 Gbit/s"])
    assert places == [LOOPBACK]
    assert words == [
        "1 Gbit/s is left out: it takes root",
        "bytes on the loopback are not counted: it takes root",
    ]


def test_hosts_that_cannot_be_are_refused(monkeypatch):
    monkeypatch.setattr(netlab, "missing", lambda: "")
    with pytest.raises(netlab.NoHosts, match="no lab of 0 test hosts"):
        Netlab(0)
    monkeypatch.setattr(netlab, "missing", lambda: "making network namespaces takes root")
    with pytest.raises(netlab.NoHosts, match="no test hosts: making network namespaces takes root"):
        Netlab(2)


# --- ranks ---------------------------------------------------------------------------------------


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_nothing_is_left_of_a_suite_that_was_killed(short_path):
    program = (
        "from benchmarks.interconnects.crew import *\n"
        "crew = Crew(sys.executable, here() * 2)\n"
        "print(*(process.pid for process in crew._processes), flush=True)\n"
        "input()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program], cwd=CHECKOUT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(short_path)},
    )  # fmt: skip
    ranks = [int(word) for word in owner.stdout.readline().split()]
    assert len(ranks) == 2 and list(short_path.iterdir())
    owner.kill()
    owner.wait()
    wait_for(lambda: all(map(gone, ranks)))
    assert not list(short_path.iterdir())
    owner.stdin.close()
    owner.stdout.close()


def test_ranks_end_with_the_suite_and_a_failure_names_its_rank():
    crew = Crew(sys.executable, here() * 2)
    ranks = [process.pid for process in crew._processes]
    crew.call("join", ["unix"] if sys.platform == "linux" else ["tcp"], b"secret")
    assert crew.call("check", 1000)[1][0] == []
    with pytest.raises(Failed, match=r"(?s)rank [01]: .*no_such_work"):
        crew.call("no_such_work")
    crew.close()
    assert all(map(gone, ranks))
    crew.close()


def test_an_interpreter_without_the_suite_is_told_at_once():
    with pytest.raises(Failed, match="0 of 2 ranks came"):
        Crew("/bin/false", here() * 2)


def test_ranks_sit_evenly_and_neighbours_together():
    hosts = [netlab.Host(7, "a", "eth0"), netlab.Host(8, "b", "eth0")]
    assert [seat.keeper for seat in seats(hosts, 4)] == [7, 7, 8, 8]
    with pytest.raises(SystemExit, match="3 ranks do not fit on 2 hosts evenly"):
        seats(hosts, 3)


def test_a_wrong_sum_is_found_before_anything_is_timed():
    rank = Rank(Alone(), 0, [Seat(0, "", "lo")])
    rank._calls = {"right": lambda array: None, "wrong": lambda array: array.fill(0)}
    assert rank.check(100)[0] == ["wrong: wrong sum of 100 elements"]


def test_ranks_that_differ_are_found():
    rank = Rank(Alone(), 0, [Seat(0, "", "lo")])
    rank._calls = {"noisy": lambda array: None}
    rank.suite.allgather = lambda value: (
        [value, (True, np.zeros(100, np.float32).tobytes())]
        if isinstance(value, tuple)
        else [value]
    )
    assert rank.check(100)[0] == ["noisy: 100 elements differ between ranks"]


# --- the report ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "K", "0", "1G", "3", "-4", "1.5M"])
def test_a_length_that_is_none_is_refused(text):
    with pytest.raises(SystemExit, match="--bytes"):
        suite.length(text)


def test_lengths_and_shapes():
    assert [suite.length(text) for text in ("4", "1K", "20M")] == [4, 1024, 20 << 20]
    assert suite.shape("2x2") == (2, 4)
    for text in ("1x1", "2", "x", "2x0"):
        with pytest.raises(SystemExit, match="--shapes"):
            suite.shape(text)


def test_the_tables_hold_what_was_measured():
    lines = [record("tcp", 1024, 2.0), record("gloo", 1024, 5.0), record("tcp", 4096, 3.0)]
    text = tables.markdown(report(sums=lines, load=["1", "2"], left_out=["mpi is left out"]))
    head = "| bytes | tcp, ms | gloo, ms | gloo / tcp | tcp, CPU ms | gloo, CPU ms"
    assert f"{head} | tcp, wire | gloo, wire | tcp, of the link | gloo, of the link |" in text
    assert "| 1 KB | 2 | 5 | 2.5 | 2 | 5 | 1.010 | 1.010 | 0.50 | 0.50 |" in text
    assert "| 4 KB | 3 | - | - | 3 | - | 1.010 | - | 0.50 | - |" in text
    assert "- load at the beginning and the end: 1; 2\n- mpi is left out" in text


def test_trainings_and_devices_have_tables():
    runs = [run("alone", 10.0, 0.0), run("after", 20.0, 9.0)]
    costs = [
        {"net": "LeNet", "batch": 64, "device": "cpu", "ms": 12.0, "instructions": None,
         "flops": 5e8, "bytes": 1_000_000},
        {"net": "LeNet", "batch": 64, "device": "cuda", "ms": None, "instructions": 2.5e9,
         "flops": 5e8, "bytes": 1_000_000},
    ]  # fmt: skip
    text = tables.markdown(report(runs=runs, devices=costs))
    assert "| LeNet, 64 | 2 x 2 | 1 Gbit/s | 10 | 20 | 45 % |" in text
    assert (
        "| LeNet, 64 | 500 | 977 KB | 12 ms | 2,500 million instructions | 80 | 8 | 0.8 |" in text
    )


def test_of_two_runs_the_later_measurement_counts():
    both = [record("tcp", 8, 1.0), record("gloo", 8, 1.0)]
    first = report(sums=both, left_out=["x"], load=["1", "2"])
    second = report(sums=[record("tcp", 8, 2.0)], left_out=["x"], load=["3", "4"])
    whole = tables.together([first, second])
    assert [(each["contender"], each["ms"]) for each in whole["sums"]] == [("tcp", 2), ("gloo", 1)]
    assert whole["left_out"] == ["x"] and whole["load"] == ["1", "4"]


def test_a_saved_report_is_drawn_again(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    lines = [record(name, size, size / 1e3) for name in ("tcp", "gloo") for size in (1024, 4096)]
    lines += [record("tcp", 1024, 1.0, place=LOOPBACK, share=None, wire=None)]
    costs = [{"net": "LeNet", "batch": 64, "device": "cpu", "ms": 12.0, "instructions": None,
                "flops": 5e8, "bytes": 1_000_000}]  # fmt: skip
    saved = report(sums=lines, runs=[run("alone", 10.0, 0.0)], devices=costs, load=["1", "2"])
    (tmp_path / "a.json").write_text(json.dumps(saved))
    words = ["x", "--draw", str(tmp_path / "a.json"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    assert suite.main() == 0
    assert "### 2 ranks on the loopback" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["devices.png", "report.json", "report.md", "sums.png", "training.png"]
    assert json.loads((tmp_path / "out/report.json").read_text())["sums"] == lines
    assert callable(pictures.draw)


@needs_hosts
@pytest.mark.slow
def test_a_net_trains_on_test_hosts():
    found = list(training.measure(["LeNet"], [(2, 4)], ["1 Gbit/s"], lambda text: None))
    ((_, parts),) = [each for each in found if each[0] == "nets"]
    runs = [each for kind, each in found if kind == "runs"]
    assert [each["way"] for each in runs] == list(training.ways_of(training.TASKS[0], True))
    alone, after, during, halved, by_hosts = runs
    assert parts["bytes"] == 4 * 431_080 and len(parts["layers"]) == 10
    assert alone["sent"] == 0 and during["sent"] == after["sent"] > parts["bytes"]
    assert halved["sent"] < 0.51 * during["sent"]
    assert by_hosts["transport"] == "auto"


@pytest.mark.slow
def test_a_device_is_timed_in_a_process_of_its_own():
    (found,) = devices.measure(["LeNet"], ["cpu"], lambda text: None)
    assert found["bytes"] == 4 * 431_080 and found["ms"] > 0 and found["instructions"] is None
