"""The page in a browser: three clicks from a prototxt's line to instructions, or keys alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe.inspection import page, ring_view
from tests.inspection import sample_page
from tests.inspection.chromium import PROGRAM, WHY_NOT, Chromium

pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason=WHY_NOT),
    pytest.mark.xdist_group("chromium"),
]

MANY = 6000  # rows of a long listing


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "net.html"
    page.write(sample_page.page(), str(path))
    return path.as_uri()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(browser: Chromium) -> Iterator[None]:
    """The page has no errors, loads nothing but itself, and stays what it was."""
    browser.events.clear()
    yield
    assert browser.errors() == []
    assert all(each.startswith("file:") and each.endswith(".html") for each in
               (url.partition("#")[0] for url in browser.requests()))  # fmt: skip


def test_three_clicks_from_a_line_to_its_instructions_and_back(browser: Chromium, url: str) -> None:
    browser.open(url)
    browser.click("#prototxt button.row", 7)  # relu_param, in the second layer
    assert browser.texts("#layer .name") == [f"{sample_page.NASTY}ReLU"]
    assert len(browser.texts("#prototxt .row.picked")) == 7
    browser.click("#layer button.kernel")
    assert browser.texts("#code-head b") == ["cpu · relu._rectify"]
    browser.click("#source button.row", 0)  # the line of the helper: `value if value > 0`
    assert browser.texts("#listing .row.lit code") == ["vmulps ymm1, ymm0, ymm2"] * 4
    assert browser.texts("#note") == [f"Line 5 of {sample_page.FILE}: 4 instructions."]
    browser.click("#listing button.row", 2)  # a load, of line 11
    assert browser.texts("#source .row.lit .number") == ["11"]
    assert len(browser.texts("#listing .row.lit")) == 5
    assert browser.texts("#note")[0].startswith("loads 8 floats")
    link = browser.value("location.href")
    lit = browser.texts("#listing .row.lit")
    browser.open(link)
    assert browser.texts("#listing .row.lit") == lit
    assert browser.texts("#listing .row.picked code") == ["vmovups ymm0, ymmword ptr [rsi + rax]"]


def test_a_link_names_a_kernel_as_people_do(browser: Chromium, url: str) -> None:
    browser.open(f"{url}#layer=data&kernel=relu._rectify&line=10")
    assert browser.texts("#source .row.lit .number") == ["10"]
    assert len(browser.texts("#listing .row.lit")) == 5
    assert len(browser.texts("#prototxt .row.picked")) == 5
    browser.open(f"{url}#layer=none&kernel=none&line=x&form=none&view=none")  # and no harm else
    assert browser.texts("#listing .row") == []


def test_the_keyboard_does_what_the_mouse_does(browser: Chromium, url: str) -> None:
    browser.open(url)
    focused = "document.activeElement.closest('section')?.id"
    while browser.value(focused) != "prototxt":
        browser.press("Tab")
    browser.press("ArrowDown")
    assert browser.texts("#prototxt .row.picked .number")[0] == "2"
    for _ in range(4):
        browser.press("ArrowDown")
    assert browser.texts("#prototxt .row.picked .number")[0] == "7"
    browser.press("Tab")
    while not browser.value("document.activeElement.matches('button.kernel')"):
        browser.press("Tab")
    browser.press("Enter")
    while browser.value("document.activeElement.closest('.rows')?.id") != "source":
        browser.press("Tab")
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Home")
    assert len(browser.texts("#listing .row.lit")) == 4
    browser.press("Tab")
    while browser.value("document.activeElement.closest('.rows')?.id") != "listing":
        browser.press("Tab")
    browser.press("Home")
    assert browser.texts("#listing .row.picked") == ["8xor eax, eax"]
    assert browser.texts("#source .row.lit .number") == ["8"]
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    assert browser.texts("#note")[0].startswith("loads 8 floats")


def test_address_arithmetic_can_be_hidden(browser: Chromium, url: str) -> None:
    browser.open(f"{url}#layer=data&kernel=relu._rectify")
    shown = "[...document.querySelectorAll('#listing .row')].filter(r => r.offsetHeight).length"
    assert browser.value(shown) == 16
    browser.click("#addresses")
    assert browser.value(shown) == 12
    browser.click("#addresses")
    assert browser.value(shown) == 16


def test_what_is_missing_says_why(browser: Chromium, url: str) -> None:
    browser.open(f"{url}#layer=data&kernel=relu._rectify&form=llvm")
    assert browser.texts("#listing .hint") == ["kept without text: inspect with an empty cache"]
    browser.click("#prototxt button.row", 7)
    assert "cuda no compiler: pip install 'minicaffe[cuda-emu]'" in browser.texts("#layer .why")


def test_the_net_leads_to_its_layers(browser: Chromium, url: str) -> None:
    browser.open(url)
    browser.click("nav .tab", 1)
    names = ["data", sample_page.NASTY, "data_split"]
    assert browser.texts("#table-pane tbody th") == names
    assert browser.texts("#graph-pane .edge text") == ["2 x 3", ""]
    assert "2 buffers" in browser.texts("#memory-pane p")[0]
    browser.click("#table-pane thead button", 5)  # by parameters
    assert browser.texts("#table-pane tbody th")[0] == sample_page.NASTY
    browser.click("#table-pane thead button", 5)
    assert browser.texts("#table-pane tbody th") == names
    browser.click("#graph-pane [role=button]", 1)
    assert browser.texts("#layer .name") == [f"{sample_page.NASTY}ReLU"]
    browser.open(f"{url}#view=net")
    browser.click("#roof-1 use")
    assert browser.texts("#layer .name") == [f"{sample_page.NASTY}ReLU"]


def test_groups_and_the_update_have_chains(browser: Chromium, url: str) -> None:
    browser.open(f"{url}#group=update")
    assert browser.texts("#layer .function") == ["sgd.update"]
    browser.open(f"{url}#group=group")
    assert browser.texts("#layer .name") == ["groupfused group"]
    browser.click("#layer .facts .link")
    assert browser.texts("#layer .name") == ["dataDummyData"]


def test_names_are_shown_as_they_are(browser: Chromium, url: str) -> None:
    browser.open(f"{url}#layer={json.dumps(sample_page.NASTY)[1:-1]}")
    browser.click("#prototxt button.row", 7)
    assert browser.value("document.images.length") == 1  # the picture, and no element of a name
    assert browser.value("document.images[0].alt") == f"maps of {sample_page.NASTY}"
    assert sample_page.NASTY in browser.texts("#layer .doc")[0]


def test_everything_has_a_name(browser: Chromium, url: str) -> None:
    """Of what can be reached: buttons have words, pictures a label, sections a heading."""
    for place in ("#layer=data&kernel=relu._rectify&line=5", "#view=net"):
        browser.open(f"{url}{place}")
        tree = browser.send("Accessibility.getFullAXTree")["nodes"]
        known = [node for node in tree if not node["ignored"]]
        roles = {node["role"]["value"] for node in known}
        assert {"main", "navigation", "banner", "region", "heading", "button"} <= roles
        nameless = [
            node for node in known
            if node["role"]["value"] in ("button", "image", "checkbox", "region", "link")
            and not node.get("name", {}).get("value")
        ]  # fmt: skip
        assert nameless == []


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_from_their_ground(browser: Chromium, url: str, dark: bool) -> None:
    """Contrast of 4.5 at least between each colour of letters and each ground (WCAG 2, AA)."""
    browser.open(url)
    scheme = "dark" if dark else "light"
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.send("Emulation.setEmulatedMedia", features=features)
    style = "getComputedStyle(document.documentElement).getPropertyValue"
    inks = ("ink", "dim", "accent", "word", "text", "number", "comment", "name")
    grounds = ("paper", "ground", "soft", "lit")

    def light(name: str) -> float:
        code = browser.value(f"{style}('--{name}')").strip().removeprefix("#")
        parts = [int(code[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for ink in inks:
        for ground in grounds:
            low, high = sorted((light(ink), light(ground)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


@pytest.mark.parametrize("width", [1400, 800, 480])
def test_nothing_is_wider_than_the_window(browser: Chromium, url: str, width: int) -> None:
    browser.resize(width, 900)
    try:
        for place in ("#layer=data&kernel=relu._rectify&line=5", "#view=net"):
            browser.open(f"{url}{place}")
            assert browser.value("document.documentElement.scrollWidth") <= width
    finally:
        browser.resize(1400, 900)


def test_a_long_listing_is_built_when_it_is_shown(browser: Chromium, tmp_path: Path) -> None:
    page.write(sample_page.page(MANY), str(tmp_path / "long.html"))
    browser.open((tmp_path / "long.html").as_uri())
    assert browser.value("document.querySelectorAll('#listing .row').length") == 0
    browser.value("select({layer: 'data', kernel: findKernel(page, {layer: ''}, 'relu._rectify')})")
    assert browser.value("document.querySelectorAll('#listing .row').length") == MANY + 4
    browser.click("#source button.row", 0)
    assert len(browser.texts("#listing .row.lit")) == MANY // 3
    style = "getComputedStyle(document.querySelector('.chunk')).contentVisibility"
    assert browser.value(style) == "auto"


def test_a_browser_that_cannot_unpack_gets_one_sentence(browser: Chromium, url: str) -> None:
    take = browser.send("Page.addScriptToEvaluateOnNewDocument",
                        source="delete globalThis.DecompressionStream")  # fmt: skip
    try:
        browser.open(url, "document.querySelector('.notice')?.id")
        assert browser.texts("#wait") == [page.NO_WAY]
    finally:
        browser.send("Page.removeScriptToEvaluateOnNewDocument", identifier=take["identifier"])


def test_the_ring_steps(browser: Chromium, tmp_path: Path) -> None:
    ring_view.write(4, str(tmp_path / "ring.html"))
    url = (tmp_path / "ring.html").as_uri()
    browser.open(url)
    assert browser.texts("#sent td") == ["sends nothing yet"] * 4
    browser.click("#next")
    assert browser.texts("#sent td")[0] == "sends chunk 3 to rank 1: x0"
    assert browser.texts("#bytes .figure")[0] == "32 of 192"
    browser.press("ArrowRight")
    assert browser.texts("#sent td")[0] == "sends chunk 2 to rank 1: x0 + x3"
    browser.press("ArrowLeft")
    browser.open(f"{url}#run=0&step=6")
    assert browser.texts("#bytes .figure") == ["192 of 192"] * 4
    assert browser.texts("#verdict")[0].startswith("Every rank has the sum of all terms, each once")
    browser.click("#runs .tab", 1)
    assert "rank 2 rank 1 closed the link" in browser.texts("#said li")[2]
    browser.open(f"{url}#run=1&step=2")
    assert browser.texts("#sent td")[1] == "sends nothing: it has ended"
    assert len(browser.texts(".rank.out")) >= 1
