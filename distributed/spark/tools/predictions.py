"""Captions for the pictures of a DataFrame, said by a trained net in Spark's tasks."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe import context
from minicaffe.errors import DataError
from minicaffe.machine.file_system import read_file
from minicaffe.proto import minicaffe_pb2 as pb

from ..executor import use_threads
from ..forward_report import left_out
from ..session import session_of
from .captioner import Captioner
from .vocab import Vocab, caption_of

PIECE = 32  # pictures that go through the nets at once


def get_predictions(
    images: Any, model: str, net: pb.NetParameter, vocab: Vocab, *, width: int = 1, bad: Any = None
) -> Any:
    """The DataFrame with one more column, `prediction`: the likeliest caption of each picture.

    `images` has columns `id` and `data`, a picture's bytes or a struct with them as `image`;
    `model` is the .caffemodel[.h5] of the captioning net `net`, the one for training. With `width`
    above 1 captions are found by beam search. A picture that cannot be read is left out, and added
    to `bad`, an accumulator of `left_out`.
    """
    from pyspark.sql.types import StringType

    sc = session_of(images).sparkContext
    weights = sc.broadcast((os.path.basename(model), read_file(model)))
    bad = left_out(sc) if bad is None else bad
    work = functools.partial(
        _predict, net.SerializeToString(), weights, vocab.index2wordMap(), width, bad
    )
    return images.mapInArrow(work, images.select("*").schema.add("prediction", StringType()))


def _predict(
    net: bytes, weights: Any, words: Mapping[int, str], width: int, bad: Any, batches: Iterator[Any]
) -> Iterator[Any]:
    with captioner_of(pb.NetParameter.FromString(net), weights.value, width) as captioner:
        for batch in batches:
            for start in range(0, batch.num_rows, PIECE):
                yield _batch(captioner, words, bad, batch.slice(start, PIECE))


@contextlib.contextmanager
def captioner_of(
    net: pb.NetParameter, weights: tuple[str, bytes], width: int
) -> Iterator[Captioner]:
    """A captioner with the weights of a file, whose name and content have come with the task."""
    from pyspark import TaskContext

    task = TaskContext.get()
    use_threads(task.cpus() if task else 1)
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder, context.fresh("cpu"):
        name, content = weights
        path = Path(folder, name)
        path.write_bytes(content)
        with contextlib.closing(Captioner(net, str(path), width=width)) as captioner:
            yield captioner


def _batch(captioner: Captioner, words: Mapping[int, str], bad: Any, batch: Any) -> Any:
    """Arrow's batch without the rows that cannot be read, and with the captions of the others."""
    import pyarrow

    pictures, rows = [], []
    for row, (name, data) in enumerate(zip(*_columns(batch), strict=True)):
        try:
            pictures.append(captioner.picture(data))
            rows.append(row)
        except DataError as error:
            bad.add({name: f"the picture of id {name}: {error}"})
    said = [caption_of(best[0].words, words) for best in captioner(pictures)]
    kept = batch.take(pyarrow.array(rows, pyarrow.int32()))
    return kept.append_column("prediction", pyarrow.array(said, pyarrow.string()))


def _columns(batch: Any) -> tuple[list[Any], list[bytes]]:
    """The ids, and the pictures' bytes, which may be signed numbers in a struct."""
    data = batch.column("data")
    if hasattr(data, "field"):  # a struct
        data = data.field("image")
    files = [np.asarray(value.values).tobytes() if hasattr(value, "values") else value.as_py()
             for value in data]  # fmt: skip
    return batch.column("id").to_pylist(), files
