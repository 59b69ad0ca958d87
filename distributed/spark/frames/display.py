"""Pictures in a notebook: the first rows of a DataFrame of pictures, and a net."""

from __future__ import annotations

import base64
import html
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.datum import decode
from minicaffe.errors import DataError, extra
from minicaffe.proto.files import read_net
from minicaffe.pycaffe.draw import draw_net


def get_np_array(row: Any) -> NDArray[np.uint8]:
    """The picture in a row's `data`: (height, width), or (height, width, 3), blue first.

    Of a picture that is not encoded the row has height and width, and perhaps channels: its bytes
    are in the order height, width, channels. Raises DataError where they do not fit.
    """
    known = row.asDict()
    if known.get("encoded"):
        pixels = decode(bytes(row.data)).transpose(1, 2, 0)
    else:
        shape = (row.height, row.width, known.get("channels") or 1)
        pixels = np.frombuffer(bytes(row.data), np.uint8)
        if pixels.size != np.prod(shape):
            raise DataError(
                f"picture {known.get('id', '')}: {pixels.size} bytes for {row.height} x {row.width}"
                f" pixels with {shape[2]} channels"
            )
        pixels = pixels.reshape(shape)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def image_tag(np_array: NDArray[Any]) -> str:
    """An <img> of HTML for a picture (height, width[, channels]), values from 0 to 255."""
    cv2 = extra("cv2", "images", "a picture in a notebook")
    done, file = cv2.imencode(".png", np.asarray(np_array, np.uint8))
    if not done:
        raise DataError(f"an array of shape {np_array.shape} is no picture")
    return f"<img src='data:image/png;base64,{base64.b64encode(file.tobytes()).decode()}' />"


def show_df(df: Any, nrows: int = 10) -> Any:
    """The first rows of a DataFrame of pictures (columns id, label, data ...) as a table."""
    lines = ["<table><tr><th>Index</th><th>Label</th><th>Image</th></tr>"]
    for row in df.take(nrows):
        words = "".join(f"<td>{html.escape(str(word))}</td>" for word in (row.id, row.label))
        lines.append(f"<tr>{words}<td>{image_tag(get_np_array(row))}</td></tr>")
    return _html("\n".join([*lines, "</table>"]))


def show_network(input_net_proto_file: str | os.PathLike[str], rankdir: str = "LR") -> Any:
    """The picture of a net's prototxt, from left to right ("LR") or from top to bottom ("TB")."""
    picture = draw_net(read_net(input_net_proto_file), rankdir)
    return _html(f"<img src='data:image/png;base64,{base64.b64encode(picture).decode()}' />")


def _html(text: str) -> Any:
    return extra("IPython.display", "notebooks", "a picture in a notebook").HTML(text)
