"""Pages of real nets in a browser: whatever runs in them, three clicks lead to its instructions."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.models import caffenet, cifar10_quick, googlenet, lenet
from minicaffe.inspection import page
from minicaffe.inspection.collect import Wanted, inspect_net
from minicaffe.inspection.facts import Page, Prototxt
from minicaffe.net.roofline import Peak
from minicaffe.proto.files import read_net
from minicaffe.proto.text import format_text
from tests.inspection.chromium import PROGRAM, WHY_NOT, Chromium

pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason=WHY_NOT),
    pytest.mark.xdist_group("chromium"),
]

MOST_BYTES = 3_000_000  # of a page
LSTM = """
name: "lstm"
layer { name: "x" type: "DummyData" top: "x"
  dummy_data_param { shape { dim: 5 dim: 2 dim: 8 } data_filler { type: "gaussian" } } }
layer { name: "cont" type: "DummyData" top: "cont"
  dummy_data_param { shape { dim: 5 dim: 2 } data_filler { type: "constant" value: 1 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "scores" type: "InnerProduct" bottom: "h" top: "scores"
  inner_product_param { num_output: 4 axis: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "scores" bottom: "scores" top: "loss" }
"""
NETS = {
    "LeNet": lambda: format_text(lenet.net(2)),
    "CIFAR-10 quick": lambda: format_text(cifar10_quick.net(2)),
    "CaffeNet": lambda: format_text(caffenet.net(1)),
    "GoogLeNet": lambda: format_text(googlenet.net(1)),
    "LSTM": lambda: LSTM,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as found:
        yield found


@pytest.fixture(autouse=True)
def peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines are measured elsewhere."""
    monkeypatch.setattr("minicaffe.inspection.collect.measure_peak", lambda device: Peak(1e9, 1e9))


def look(text: str, folder: Path, **wanted: object) -> Page:
    """What there is to know of a net, on the CPU."""
    file = folder / "net.prototxt"
    file.write_text(text, encoding="utf-8")
    param = read_net(str(file))
    chosen = {"devices": ("cpu",), "iterations": 1, "pictures": False, **wanted}
    return inspect_net(param, Prototxt(file.name, text), Wanted(**chosen))  # type: ignore[arg-type]


def write(facts: Page, folder: Path) -> str:
    """The page's URL, if the page is small enough."""
    path = folder / "net.html"
    page.write(facts, str(path))
    assert path.stat().st_size < MOST_BYTES
    return path.as_uri()


def follow(browser: Chromium, facts: Page, layer_name: str, seen: set[str]) -> int:
    """Three clicks for every kernel of a layer that has lines, but for those seen; how many."""
    layer = next(each for each in facts.layers if each.name == layer_name)
    lines = [int(text) for text in browser.texts("#prototxt button.row .number") if text.isdigit()]
    browser.click("#prototxt button.row", lines.index(layer.first))
    keys = [kernel.listing for call in layer.calls for kernel in call.kernels if kernel.listing]
    buttons = "[...document.querySelectorAll('#layer button.kernel')].map(n => n.dataset.kernel)"
    assert sorted(browser.value(buttons)) == sorted(keys)
    followed = 0
    new = [key for key in dict.fromkeys(keys) if key not in seen]
    seen.update(new)
    for key in new:
        listing = facts.listings[key]
        browser.click(f"#layer button.kernel[data-kernel={json.dumps(key)}]")
        form = next((form for form in listing.forms.values() if form.rows), None)
        if form is None:
            continue
        places = {(row.file, row.line) for row in form.rows if row.line and row.kind != "label"}
        known = {place for place in places if place[0] in facts.sources}
        assert known, key
        rows = "[...document.querySelectorAll('#source button.row')].map(n => n.dataset.place)"
        shown = browser.value(rows)
        assert {f"{file} {line}" for file, line in known} == set(shown)
        browser.click("#source button.row", len(shown) // 2)
        file, _, line = shown[len(shown) // 2].rpartition(" ")
        wanted = [row.text for row in form.rows if (row.file, row.line) == (file, int(line))
                  and row.kind != "label"]  # fmt: skip
        lit = browser.texts("#listing .row.lit code")
        assert [" ".join(text.split()) for text in lit] == [" ".join(t.split()) for t in wanted]
        browser.click("#listing .row.lit", len(lit) - 1)
        assert browser.texts("#source .row.lit .number") == [line]
        followed += 1
    return followed


def test_three_clicks_in_lenet(browser: Chromium, tmp_path: Path) -> None:
    """By kernels that compile in a moment."""
    facts = look(NETS["LeNet"](), tmp_path, layers=("relu1",))
    url = write(facts, tmp_path)
    browser.events.clear()
    browser.open(url)
    assert follow(browser, facts, "relu1", set()) >= 2
    link = browser.value("location.href")
    lit = browser.texts("#listing .row.lit")
    browser.open(link)
    assert browser.texts("#listing .row.lit") == lit
    assert browser.errors() == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for name in NETS if name != "LeNet"])
def test_three_clicks_in_other_nets(name: str, browser: Chromium, tmp_path: Path) -> None:
    """Every kernel of every layer that has lines; the page stays small."""
    facts = look(NETS[name](), tmp_path, pictures=True)
    url = write(facts, tmp_path)
    browser.events.clear()
    browser.open(url)
    followed = 0
    seen: set[str] = set()
    for layer in facts.layers:
        kernels = {kernel.listing for call in layer.calls for kernel in call.kernels}
        if layer.first and kernels - seen:
            followed += follow(browser, facts, layer.name, seen)
    assert followed >= 5
    browser.value("select({view: 'net'})")
    assert len(browser.texts("#table-pane tbody tr")) == len(facts.layers)
    assert browser.errors() == []
