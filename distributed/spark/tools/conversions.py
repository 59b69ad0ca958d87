"""COCO's captions and pictures as DataFrames that a net can be trained on, and back."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minicaffe.errors import DataError, extra, shown

from ..forward_report import left_out
from ..session import session_of
from ..shipping.far_settings import carried
from .listed_pictures import anchored, picture_file, read_text
from .vocab import Vocab, caption_of, sentence_of

PIECE = 32  # pictures that a task hands on at once

PICTURES = "id string, data struct<height: int, width: int, image: array<tinyint>>, label int"
SENTENCES = ("input_sentence", "cont_sentence", "target_sentence")
CAPTIONED = ", ".join([PICTURES, *(f"{name} array<int>" for name in SENTENCES)])


def Coco2ImageCaptionFile(sc: Any, src: str, clusterSize: int = 1) -> Any:
    """The captions of a JSON file of COCO: id (of the caption), height, width, file, url, caption.

    A row a caption, in the file's order. A file without `annotations` gives a row a picture, its
    own id, and no column `caption`. Raises DataError for what is no such file.
    """
    session = session_of(sc)
    place = shown(src)
    try:
        content = json.loads(read_text(session, src, "-captionFile"))
    except json.JSONDecodeError as error:
        raise DataError(f"{place}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from None
    captioned = isinstance(content, dict) and "annotations" in content
    pictures = {
        row[0]: row[1:]
        for row in _table(
            content, "images", ("id", "height", "width", "file_name"), place,
            "flickr_url" if captioned else "coco_url",
        )
    }  # fmt: skip
    schema = "id bigint, height int, width int, file string, url string"
    rows = [(each, *picture) for each, picture in pictures.items()]
    if captioned:
        schema += ", caption string"
        rows = []
        for each, image, caption, _ in _table(
            content, "annotations", ("id", "image_id", "caption"), place
        ):
            if image not in pictures:
                raise DataError(
                    f"{place}: annotation {each} names image {image}, which is not there"
                )
            rows.append((each, *pictures[image], caption))
    parts = session.sparkContext.parallelize(rows, max(1, min(clusterSize, len(rows))))
    return session.createDataFrame(parts, schema)


def _table(
    content: Any, name: str, fields: tuple[str, ...], place: str, optional: str = ""
) -> Iterator[tuple[Any, ...]]:
    """The fields of each object in a list of the JSON, and one that may be missing."""
    objects = content.get(name) if isinstance(content, dict) else None
    if not isinstance(objects, list):
        raise DataError(f"{place}: a JSON object with a list '{name}' is expected")
    for number, each in enumerate(objects):
        try:
            yield (*(each[field] for field in fields), each.get(optional))
        except (KeyError, TypeError, AttributeError):
            wanted = ", ".join(fields)
            raise DataError(f"{place}: {name}[{number}] must have {wanted}") from None


def Image2Embedding(imageRootFolder: str, imageCaptionDF: Any, bad: Any = None) -> Any:
    """The pictures of a DataFrame with id, file, height and width: id, data, label (0).

    `data` is a struct (height, width, image), with the bytes of the file as signed numbers. A
    file that cannot be read is left out, and added to `bad`, an accumulator of `left_out`.
    """
    columns = ("id", "file", "height", "width")
    return _embed(imageRootFolder, imageCaptionDF.select(*columns), {}, 0, PICTURES, bad)


def ImageCaption2Embedding(
    imageRootFolder: str, imageCaptionDF: Any, vocab: Vocab, captionLength: int, bad: Any = None
) -> Any:
    """The pictures with their captions in numbers: Image2Embedding's columns, and three more.

    `input_sentence`, `cont_sentence` and `target_sentence` have `captionLength` ids each; see
    vocab.py, `sentence_of`.
    """
    columns = ("id", "file", "height", "width", "caption")
    index = vocab.word2indexMap()
    frame = imageCaptionDF.select(*columns)
    return _embed(imageRootFolder, frame, index, captionLength, CAPTIONED, bad)


def Embedding2Caption(
    embeddingDF: Any, vocab: Vocab, embeddingColumn: str, captionColumn: str
) -> Any:
    """The words of a column of ids: id (a string), and `captionColumn`."""
    from pyspark.sql import functions as sql

    session_of(embeddingDF)
    caption = functools.partial(caption_of, words=vocab.index2wordMap())
    words = sql.udf(caption, "string", useArrow=False)
    return embeddingDF.select(
        sql.col("id").cast("string").alias("id"), words(embeddingColumn).alias(captionColumn)
    )


# --- on the executors ----------------------------------------------------------------------------


def _embed(
    root: str, frame: Any, index: Mapping[str, int], length: int, schema: str, bad: Any
) -> Any:
    session = session_of(frame)
    extra("pyarrow", "spark", "pictures in a DataFrame")
    bad = left_out(session.sparkContext) if bad is None else bad
    body = functools.partial(_batches, anchored(root), index, length, bad)
    return frame.mapInArrow(carried(session.sparkContext, body), schema)


def _batches(
    root: str, index: Mapping[str, int], length: int, bad: Any, batches: Iterator[Any]
) -> Iterator[Any]:
    """Arrow's batches of rows with files, as batches with pictures."""
    for batch in batches:
        for start in range(0, batch.num_rows, PIECE):
            rows, files = [], []
            for row in batch.slice(start, PIECE).to_pylist():
                place = f"the picture of id {row['id']}"
                try:
                    files.append(picture_file(root, row["file"], place))
                    rows.append(row)
                except DataError as error:
                    bad.add({row["id"]: str(error)})
            yield _batch(rows, files, index, length)


def _batch(
    rows: list[dict[str, Any]], files: list[bytes], index: Mapping[str, int], length: int
) -> Any:
    import pyarrow

    ints = pyarrow.int32()
    ends = np.cumsum([0, *map(len, files)], dtype=np.int32)
    image = pyarrow.ListArray.from_arrays(ends, np.frombuffer(b"".join(files), np.int8))
    sides = [pyarrow.array([row[side] for row in rows], ints) for side in ("height", "width")]
    columns = {
        "id": pyarrow.array([str(row["id"]) for row in rows], pyarrow.string()),
        "data": pyarrow.StructArray.from_arrays([*sides, image], ["height", "width", "image"]),
        "label": pyarrow.array([0] * len(rows), ints),
    }
    if length:
        sentences = [sentence_of(row["caption"], index, length) for row in rows]
        for place, name in enumerate(SENTENCES):
            ids = [each[place] for each in sentences]
            columns[name] = pyarrow.array(ids, pyarrow.list_(ints))
    return pyarrow.RecordBatch.from_pydict(columns)
