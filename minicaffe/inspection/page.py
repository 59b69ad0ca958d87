"""The inspector's page: one HTML file that needs nothing else, made of a `Page` of facts.

    data        JSON, compressed, in base64: the browser unpacks it (DecompressionStream)
    templates/  page.html, its styles (*.css) and its scripts (*.js), which are put inline
    roofline    a picture of matplotlib, SVG whose text is text

Scripts put texts of the data into the page as texts, never as HTML, and the page's own policy
(Content-Security-Policy) lets the browser run these scripts alone and load nothing from anywhere.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import extra
from ..machine.whole_file import whole_file
from .as_json import to_json
from .facts import Listing, Page
from .highlighting import highlighted
from .roofline_picture import draw_roofline

TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
STYLES = ("common.css", "page.css", "code.css")
SCRIPTS = (
    "dom.js", "unpack.js", "selection.js", "words.js", "chart.js", "prototxt.js", "chain.js",
    "layer.js", "source.js", "listing.js", "loops.js", "net.js", "keys.js", "main.js",
)  # fmt: skip
NO_WAY = "This browser cannot unpack the page: Chrome 80, Firefox 113, Safari 16.4 or newer can."


def write(page: Page, path: str) -> None:
    """Write the page's file. Raises MissingExtra without Jinja2, Pygments or matplotlib."""
    write_text(render(page), path)


def write_text(text: str, path: str) -> None:
    """Write a page's file whole. Raises Error where the system refuses."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def render(page: Page) -> str:
    """The page as HTML. Raises MissingExtra without Jinja2, Pygments or matplotlib."""
    facts = {
        "title": os.path.basename(page.prototxt.file) or "net",
        "roofline": draw_roofline(page.roofline),
    }
    return fill("page.html", STYLES, SCRIPTS, page_data(page), facts)


def fill(
    template: str,
    styles: Sequence[str],
    scripts: Sequence[str],
    data: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """A template with its styles, scripts and compressed data inline."""
    jinja2 = extra("jinja2", "inspect", "the inspector's page")
    codes = [_text(name) for name in scripts]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made: str = environment.get_template(template).render(
        style="\n".join(map(_text, styles)),
        scripts=codes,
        policy=policy(codes),
        data=packed(data),
        no_way=NO_WAY,
        **facts,
    )
    return made


def policy(codes: Sequence[str]) -> str:
    """A Content-Security-Policy that lets these scripts run, and nothing be loaded."""
    hashes = (base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in codes)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def packed(data: Mapping[str, Any]) -> str:
    """JSON, gzip, base64; the same for the same data."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def page_data(page: Page) -> dict[str, Any]:
    """What the scripts read: facts.py's JSON with highlighted sources, and rows in columns."""
    data: dict[str, Any] = to_json(replace(page, sources={}, listings={}))
    data["prototxt"] = {
        "file": page.prototxt.file,
        "lines": highlighted(page.prototxt.text, "prototxt"),
    }
    data["sources"] = {
        name: highlighted(text, "python") for name, text in sorted(page.sources.items())
    }
    notes: dict[str, int] = {"": 0}
    places: dict[tuple[str, int], int] = {("", 0): 0}
    data["listings"] = {
        key: _listing(listing, notes, places) for key, listing in page.listings.items()
    }
    data["notes"] = list(notes)
    data["places"] = [list(place) for place in places]
    return data


def _listing(
    listing: Listing, notes: dict[str, int], places: dict[tuple[str, int], int]
) -> dict[str, Any]:
    """A listing; rows as a list a field, with places and notes, which come again, by number."""
    data: dict[str, Any] = to_json(replace(listing, forms={}))
    for name, form in listing.forms.items():
        rows = form.rows
        data["forms"][name] = to_json(replace(form, rows=())) | {
            "rows": {
                "text": [row.text for row in rows],
                "kind": [row.kind for row in rows],
                "loop": [row.loop for row in rows],
                "note": [notes.setdefault(row.note, len(notes)) for row in rows],
                "place": [places.setdefault((row.file, row.line), len(places)) for row in rows],
            }
        }
    return data


def _text(name: str) -> str:
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return file.read()
