"""DFConversions: the conversions under the ancestor's Python names, and captions as HTML."""

from __future__ import annotations

import base64
import html
from typing import Any

import numpy as np

from minicaffe.errors import extra

from ..session import session_of
from . import conversions

HEADS = {b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"RIFF": "webp"}
STYLE = (
    "<style>.captions td {vertical-align: top; padding: 4px 12px; text-align: left}"
    " .captions img {width: 240px}</style>"
)


class DFConversions:
    """`DFConversions(sc)`: the functions of conversions.py as methods."""

    Image2Embedding = staticmethod(conversions.Image2Embedding)
    ImageCaption2Embedding = staticmethod(conversions.ImageCaption2Embedding)
    Embedding2Caption = staticmethod(conversions.Embedding2Caption)

    def __init__(self, sc: Any = None) -> None:
        self.session = session_of(sc)

    def Coco2ImageCaptionFile(self, src: str, clusterSize: int = 1) -> Any:
        """The captions of a JSON file of COCO; see conversions.py."""
        return conversions.Coco2ImageCaptionFile(self.session, src, clusterSize)


def get_image(image: Any) -> str:
    """An encoded picture, bytes or signed numbers, as an <img> of HTML."""
    file = bytes(image) if isinstance(image, bytes | bytearray) else np.int8(image).tobytes()
    kind = next((kind for head, kind in HEADS.items() if file.startswith(head)), "jpeg")
    return f"<img src='data:image/{kind};base64,{base64.b64encode(file).decode()}' />"


def captions_table(df: Any, nrows: int = 10) -> str:
    """The first rows of a DataFrame as a table of HTML: id, data (a picture), other columns.

    `data` is a picture's bytes, or a struct with them as `image`.
    """
    others = [name for name in df.columns if name not in ("id", "data")]
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in ("id", "picture", *others))
    lines = [f"{STYLE}\n<table class='captions'>", f"<tr>{cells}</tr>"]
    for row in df.take(nrows):
        picture = get_image(getattr(row.data, "image", row.data))
        words = "".join(f"<td>{_text(row[name])}</td>" for name in others)
        lines.append(f"<tr><td>{html.escape(str(row.id))}</td><td>{picture}</td>{words}</tr>")
    return "\n".join([*lines, "</table>"])


def _text(value: Any) -> str:
    """A cell: the items of a list stand one below the other."""
    items = value if isinstance(value, list | tuple) else [value]
    return "<br>".join(html.escape(str(item)) for item in items)


def show_captions(df: Any, nrows: int = 10) -> Any:
    """`captions_table` as a notebook shows it."""
    display = extra("IPython.display", "notebooks", "show_captions")
    return display.HTML(captions_table(df, nrows))
