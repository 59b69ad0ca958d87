"""A training as people see it go: a page in the Spark UI, on a port of its own, in a notebook."""

import json
import math
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.data.database import create_database
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, driver
from minicaffe.distributed.spark.live import EVERY, LivePage
from minicaffe.distributed.spark.live.course import MOST, Course
from minicaffe.distributed.spark.live.page import page, plot, ticks
from minicaffe.distributed.spark.live.places import OwnPort, open_notebook
from minicaffe.distributed.spark.supervision.members import device_of, run_members
from minicaffe.distributed.spark.supervision.roster import Roster
from minicaffe.distributed.spark.training_report import TrainingReport
from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb
from tests.spark_cluster import SmallSet, spark_context

pytestmark = pytest.mark.xdist_group("spark")

FACTS = {"learning_rate": 0.1, "samples_per_second": 640.0, "communication": 0.25}


class Elements(HTMLParser):
    """The elements of a page that are open, and all that were."""

    EMPTY = ("meta", "circle", "path", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def report_of(iteration: int, loss: float) -> Any:
    """What a course asks of a report."""
    latest = {"iteration": iteration, "loss": loss, **FACTS}
    tests = [(0, {"accuracy": 0.25}), (iteration, {"accuracy": 0.5, "vector": [1.0, 2.0]})]
    return SimpleNamespace(state="iteration", latest=latest, validations=tests)


def roster() -> Roster:
    found = Roster()
    found.hear({"kind": "hello", "rank": 1, "host": "<b>", "pid": 7})
    found.hear({"kind": "hello", "rank": 0, "host": "a", "pid": 6})
    found.hear({"kind": "beat", "rank": 0, "iteration": 4, "doing": "backward of layer 'ip'"})
    return found


# --- the page ------------------------------------------------------------------------------------


def test_a_page_is_one_file_without_scripts() -> None:
    course = Course("minicaffe: a & b", 200)
    empty = page(course)
    course.take(report_of(50, 0.125), roster())
    text = page(course)
    for each in (empty, text):
        assert Elements(each).open == []
        assert "script" not in Elements(each).seen
        assert "http://" not in each and "https://" not in each
        assert 'http-equiv="refresh"' in each
    assert "backward of layer &#x27;ip&#x27;" in text
    assert "prefers-color-scheme: dark" in text
    for wanted in ("a &amp; b", "50 of 200", "0.125", "640", "25%", "width:25.0%", "&lt;b&gt;",
                   "test: accuracy"):  # fmt: skip
        assert wanted in text
    assert text.index("<td>6</td>") < text.index("<td>7</td>")
    course.end("ended well")
    assert "refresh" not in page(course)
    assert "ended well" in page(course)


def test_a_course_goes_back_with_its_training_and_stays_small() -> None:
    course = Course("x", 10**6)
    for iteration in range(0, 5000, 2):
        course.take(report_of(iteration, 1 / (1 + iteration)), roster())
    assert MOST / 2 <= len(course.train) <= MOST + 1
    assert course.train[-1][0] == 4998
    course.take(report_of(100, 0.5), roster())
    assert course.train[-1] == (100, 0.5)
    assert [each[0] for each in course.train] == sorted({each[0] for each in course.train})


def test_values_are_json_whatever_the_loss_is() -> None:
    course = Course("x", 10)
    course.take(report_of(3, math.nan), roster())
    values = json.loads(json.dumps(course.values(), allow_nan=False))
    assert values["loss"] is None and values["train"] == []
    assert values["tests"] == {"accuracy": [[0, 0.25], [3, 0.5]]}
    assert [rank["doing"] for rank in values["ranks"]] == ["backward of layer 'ip'", "sets up"]
    assert Elements(page(course)).open == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 50, 100]),
        (0.12, 2.3, [0, 1, 2, 3]),
        (5, 5, [4, 6]),
        (-3e-5, 1e-5, [-3e-5, -2e-5, -1e-5, 0, 1e-5]),
    ],
)
def test_ticks_are_round_and_hold_all(low: float, high: float, expected: list[float]) -> None:
    found = ticks(low, high)
    assert found[0] <= low and found[-1] >= high
    assert 2 <= len(found) <= 7
    step = found[1] - found[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)
    assert set(expected) & set(found) or not expected


def test_a_plot_stays_inside_its_frame() -> None:
    points = [(0, 3.0), (1, -2.0), (7, 1e-9)]
    shown = plot("loss", points)
    line = shown.partition('points="')[2].partition('"')[0]
    places = [tuple(map(float, each.split(","))) for each in line.split()]
    assert len(places) == 3
    assert all(50 <= x <= 560 and 20 <= y <= 220 for x, y in places)
    assert places[0][1] < places[2][1] < places[1][1]  # larger is higher


# --- its places ----------------------------------------------------------------------------------


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def test_a_port_of_its_own_answers_who_knows_its_path() -> None:
    place = OwnPort()
    try:
        place.put({"index.html": "<p>é</p>", "training.json": "{}"})
        assert fetch(place.url) == "<p>é</p>"
        assert fetch(f"{place.url}training.json") == "{}"
        root = place.url.rsplit("/", 2)[0]
        for path in ("/", "/training.json", "/x/training.json"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                fetch(f"{root}{path}")
            refused.value.close()
        assert place.url.startswith("http://127.0.0.1:")
        assert len(place.url.rsplit("/", 2)[1]) >= 24
    finally:
        place.close()
    with pytest.raises(urllib.error.URLError):
        fetch(place.url)


def test_a_notebook_shows_the_page_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda html: shown.append(f"again {html}"))

    def display(html: str, display_id: bool) -> Any:
        shown.append(html)
        return handle

    shell = SimpleNamespace(kernel=object())
    fake = SimpleNamespace(
        get_ipython=lambda: shell, display=SimpleNamespace(display=display, HTML=str)
    )
    assert open_notebook() is None
    monkeypatch.setitem(sys.modules, "IPython", fake)
    notebook = open_notebook()
    assert notebook is not None
    notebook.put("one")
    notebook.put("two")
    assert shown == ["one", "again two"]


def test_a_training_without_a_spark_ui_has_a_port(tmp_path: Path) -> None:
    live = LivePage(None, "title", 10, str(tmp_path / "m.training.html"))
    assert live.link == ""
    report = TrainingReport("", 0, 10, resumed=False)
    report.latest = report_of(5, 0.5).latest
    live.look(report, roster())
    assert json.loads(fetch(f"{live.url}training.json"))["loss"] == 0.5
    report.latest = report_of(6, 0.25).latest
    live.look(report, roster())  # too early for another one
    assert json.loads(fetch(f"{live.url}training.json"))["loss"] == 0.5
    live.close("failed: for a reason")
    report.close()
    left = (tmp_path / "m.training.html").read_text()
    assert "failed: for a reason" in left and "0.25" in left


# --- in Spark ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    with spark_context("local[2]", spark_ui_enabled="true", spark_ui_port="0") as sc:
        yield sc


def train(sc: Any, small: SmallSet, solver: str, *words: str, ranks: int = 2) -> driver.Training:
    model = str(small.folder / "m.caffemodel")
    args = ["-conf", solver, "-train", "-clusterSize", str(ranks), "-model", model, *words]
    return CaffeOnSpark(sc).train(DataSource.getSource(Config(sc, args), True))


SLOW = """
import time, minicaffe as caffe
class Slow(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        time.sleep(0.05)
        top[0].data[...] = bottom[0].data
    def backward(self, top, down, bottom): bottom[0].diff[...] = top[0].diff
"""


def test_the_spark_ui_shows_a_training_while_it_lasts_and_afterwards(
    sc: Any, small: SmallSet
) -> None:
    (small.folder / "slow_layer.py").write_text(SLOW)
    slow = """layer { name: "slow" type: "Python" bottom: "ip1" top: "slow"
                      python_param { module: "slow_layer" layer: "Slow" } }"""
    solver = small.solver(max_iter=100, net=slow)
    url = f"{sc.uiWebUrl}/minicaffe/"
    seen: list[dict[str, Any]] = []
    pages: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            try:
                values = json.loads(fetch(f"{url}training.json"))
            except (OSError, ValueError):  # not yet there: Spark shows its first page
                continue
            values["age"] = time.time() - values["updated"]
            seen.append(values)
            pages.append(fetch(url))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        training = train(sc, small, solver)
    finally:
        over.set()
        watcher.join()
    assert training.live.url == url
    moving = [values for values in seen if values["running"] and values.get("iteration", 0) > 0]
    assert len({values["iteration"] for values in moving}) >= 3
    assert max(values["age"] for values in moving) < 2 * EVERY
    for values in moving:
        assert 0 <= values["communication"] <= 1
        assert values["samples_per_second"] > 0
        assert [rank["rank"] for rank in values["ranks"]] == [0, 1]
    assert any("slow" in rank["doing"] for values in moving for rank in values["ranks"])
    assert any("<svg" in text and 'http-equiv="refresh"' in text for text in pages)
    secret = training.secret.hex()
    assert not any(secret in text for text in pages)
    after = json.loads(fetch(f"{url}training.json"))
    assert (after["state"], after["running"], after["iteration"]) == ("ended well", False, 100)
    left = (small.folder / "m.training.html").read_text()
    assert left == fetch(url)


def test_the_page_tells_of_a_failure(sc: Any, small: SmallSet) -> None:
    bad = """layer { name: "bad" type: "Reshape" bottom: "ip1" top: "bad"
                     reshape_param { shape { dim: 7 } } }"""
    with pytest.raises(ClusterError):
        train(sc, small, small.solver(net=bad), "-maxRestarts", "0")
    state = json.loads(fetch(f"{sc.uiWebUrl}/minicaffe/training.json"))["state"]
    assert state.startswith("failed: ") and "bad" in state


# --- ways to stay together, in Spark -------------------------------------------------------------


@pytest.mark.parametrize("way", ["sparknet:tau=4", "dl4j:k=4", "threshold:threshold=0.03"])
def test_ranks_in_spark_stay_together_in_every_way(sc: Any, small: SmallSet, way: str) -> None:
    training = train(sc, small, small.solver(max_iter=40), "-sync", way)
    losses = [row["loss"] for row in training.metrics.rows]
    assert losses[-1] < 0.6 * losses[0]
    assert all(0 <= row["communication"] <= 1 for row in training.metrics.rows)


# --- several devices a rank ----------------------------------------------------------------------


def test_two_devices_on_a_rank_are_two_ranks_bit_for_bit(sc: Any, small: SmallSet) -> None:
    """Tests, snapshots and Dropout's chance among them."""
    drop = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }'
    solver = small.solver(net=drop, more="test_iter: 2 test_interval: 10 snapshot: 10")
    model, state = small.folder / "m.caffemodel", small.folder / "small_iter_10.solverstate"
    ranks = train(sc, small, solver)
    by_ranks = model.read_bytes(), state.read_bytes()
    devices = train(sc, small, solver, "-devices", "2", ranks=1)
    assert (model.read_bytes(), state.read_bytes()) == by_ranks
    assert devices.report.world_size == 2
    losses = [[row.get("loss") for row in each.metrics.rows] for each in (ranks, devices)]
    assert losses[0] == losses[1]
    members = devices.live.course.ranks
    assert [member["rank"] for member in members] == [0, 1]
    assert len({member["process"] for member in members}) == 2


def test_an_error_on_a_device_is_that_of_its_member(sc: Any, small: SmallSet) -> None:
    (small.folder / "falls.py").write_text(FALLS)
    falls = """layer { name: "falls" type: "Python" bottom: "ip1" top: "falls"
                       python_param { module: "falls" layer: "Falls" } }"""
    solver = small.solver(net=falls)
    with pytest.raises(ClusterError, match=r"rank 1 on .*falls.*not on this one"):
        train(sc, small, solver, "-devices", "2", "-maxRestarts", "0", ranks=1)
    assert sc.parallelize(range(2), 2).map(lambda x: x + 1).collect() == [1, 2]


FALLS = """
import minicaffe as caffe
class Falls(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        if caffe.solver_rank() == 1: raise ValueError("not on this one")
    def backward(self, top, down, bottom): pass
"""


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_dies_is_named() -> None:
    """And the others end with it."""
    meeting = SimpleNamespace(allgather=lambda address: [address])

    def body(number: int, device: str, rendezvous: Any) -> Iterator[Any]:
        everybody = rendezvous.allgather(f"place {number}")
        yield number, device, everybody, os.getpid()
        if number == 5:
            os._exit(3)
        time.sleep(60)

    found = []
    with pytest.raises(ClusterError, match="the process of rank 5 ended before its work"):
        for answer in run_members(body, 2, "cpu", 2, meeting):
            found.append(answer)
    assert sorted(each[:3] for each in found) == [
        (4, "cpu", ["place 4", "place 5"]), (5, "cpu", ["place 4", "place 5"]),
    ]  # fmt: skip
    for *_, process in found:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_each_member_has_a_card_of_its_own() -> None:
    assert [device_of("cpu", number) for number in range(2)] == ["cpu", "cpu"]
    assert [device_of("cuda", number) for number in range(2)] == ["cuda:0", "cuda:1"]
    assert device_of("cuda:2", 1) == "cuda:3"


# --- features of many samples --------------------------------------------------------------------


def test_features_of_10003_samples_come_whole_and_in_order(sc: Any, small: SmallSet) -> None:
    """In batches of 64, of which no task has a whole number."""
    count = 10_003
    with create_database(small.folder / "many") as out:
        for number in range(count):
            datum = pb.Datum(channels=1, height=6, width=6, label=number % 4)
            datum.data = number.to_bytes(36, "little")
            out.put(f"{number:08d}".encode(), datum.SerializeToString())
    solver = small.solver(max_iter=1)
    train(sc, small, solver, ranks=1)
    net = small.folder / "solver_net.prototxt"
    text = net.read_text().replace(f"{small.folder}/test", f"{small.folder}/many")
    net.write_text(text.replace("batch_size: 8", "batch_size: 64"))
    words = ["-conf", solver, "-features", "data,label", "-model", f"{small.folder}/m.caffemodel"]
    rows = CaffeOnSpark(sc).features(DataSource.getSource(Config(sc, words), False)).collect()
    assert [row.SampleID for row in rows] == [f"{number:08d}" for number in range(count)]
    assert [row.label for row in rows] == [[number % 4] for number in range(count)]
    first = [row.data[0] * 256 + row.data[1] * 65536 for row in rows]
    assert first == list(range(count))
