"""The page as a file: it holds everything, loads nothing, and takes no text for markup."""

import base64
import gzip
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from minicaffe.errors import MissingExtra
from minicaffe.inspection import page, ring_view
from minicaffe.inspection.highlighting import highlighted
from minicaffe.inspection.net_facts import Point, Roofline
from minicaffe.inspection.page import TEMPLATES, page_data, render
from minicaffe.inspection.ring_record import Run
from minicaffe.inspection.roofline_picture import draw_roofline
from tests.inspection import sample_page

pytest.importorskip("jinja2")
pytest.importorskip("pygments")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def text() -> str:
    return render(sample_page.page())


class Reader(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data


def test_the_data_are_those_of_the_facts(text: str) -> None:
    packed = re.search(r'<script type="application/gzip" id="data">([^<]*)</script>', text)
    assert packed
    data = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert data == json.loads(json.dumps(page_data(sample_page.page())))
    rows = data["listings"][sample_page.KEY]["forms"]["asm"]["rows"]
    for number, row in enumerate(sample_page.rows()):
        place = data["places"][rows["place"][number]]
        note = data["notes"][rows["note"][number]]
        assert (rows["text"][number], *place, rows["kind"][number]) == (
            row.text,
            row.file,
            row.line,
            row.kind,
        )
        assert (rows["loop"][number], note) == (row.loop, row.note)


def test_nothing_of_the_data_is_markup(text: str) -> None:
    """The names of the sample would be elements, if anything took them for that."""
    assert not [tag for tag, given in Reader(text).found if tag == "img" or "onerror" in given]
    for name in Path(TEMPLATES).glob("*.js"):
        code = name.read_text(encoding="utf-8")
        forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\b"
        assert not re.search(forbidden, code), name


def test_the_page_loads_nothing(text: str) -> None:
    """No element and no style names an address; http:// stands in names of XML alone."""
    for tag, given in Reader(text).found:
        if tag not in ("svg",):
            named = {given.get(name) or "" for name in ("src", "href", "xlink:href", "action")}
            assert all(each == "" or each.startswith("#") for each in named), (tag, given)
        assert tag not in ("link", "iframe", "object", "embed", "base")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in styles
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_policy_lets_these_scripts_run_and_no_others(text: str) -> None:
    reader = Reader(text)
    (policy,) = [given["content"] for tag, given in reader.found
                 if given.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    assert policy and policy.startswith("default-src 'none'; script-src 'sha256-")
    kinds = [given.get("type") for tag, given in reader.found if tag == "script"]
    codes = [code for code, kind in zip(reader.scripts, kinds, strict=True) if kind is None]
    assert len(codes) == len(page.SCRIPTS)
    for code in codes:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_the_same_facts_make_the_same_page(text: str) -> None:
    assert render(sample_page.page()) == text


def test_every_template_is_used() -> None:
    used = {*page.STYLES, *page.SCRIPTS, *ring_view.STYLES, *ring_view.SCRIPTS}
    assert used | {"page.html", "ring.html"} == {path.name for path in Path(TEMPLATES).iterdir()}


@pytest.mark.parametrize("library", ["jinja2", "pygments", "matplotlib"])
def test_without_a_library_one_line_says_what_to_install(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"needs {library}: pip install 'minicaffe\[inspect\]'"):
        render(sample_page.page())


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    page.write(sample_page.page(), str(tmp_path / "net.html"))
    assert [path.name for path in tmp_path.iterdir()] == ["net.html"]
    assert (tmp_path / "net.html").read_text(encoding="utf-8").endswith("</html>")


def test_highlighting_keeps_every_letter() -> None:
    for language, source in (("python", sample_page.KERNEL), ("prototxt", sample_page.PROTOTXT)):
        lines = ["".join(line[1::2]) for line in highlighted(source, language)]
        assert lines == source.splitlines()
    (first, *_) = highlighted(sample_page.PROTOTXT, "prototxt")
    assert first == ["", "name: ", "s", '"sample"', "", "  ", "c", "# a comment"]


def test_a_roofline_names_its_points_in_order() -> None:
    points = (Point("a $x$ <b>", "forward", 2.0, 9.0), Point("a", "backward", 0.5, 1.0))
    svg = draw_roofline(Roofline(100.0, 10.0, points))
    assert re.findall(r'id="(roof-\d)"', svg) == ["roof-0", "roof-1"]
    assert "a $x$ &lt;b&gt; →" in svg and "#0" not in re.sub(r"#[mp][0-9a-f]+", "", svg)
    assert draw_roofline(Roofline(0.0, 0.0, (), "not measured")) == ""


def test_the_verdict_of_a_ring_names_what_is_wrong() -> None:
    """States as a ring would leave them that adds a term twice, or does not end."""
    start = (((1, 0), (1, 0)), ((0, 1), (0, 1)))
    run = Run(None, 64, start, ([], []), start, ["", ""])
    assert ring_view.verdict(run) == "Wrong: rank 0 has x0 in chunk 0."
    run.said[1] = "rank 1: rank 0 is silent"
    assert ring_view.verdict(run) == "It did not come to its end: rank 1: rank 0 is silent"
    assert ring_view.in_words((2, 1, 0)) == "2 x0 + x1"
    assert ring_view.in_words(()) == "several sums"
