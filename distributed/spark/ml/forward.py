"""A task of CaffeModel.transform: rows in, the same rows with the values of blobs out."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe import TEST, context
from minicaffe.data.sources.given_rows import NAME, GivenRows, rows_given
from minicaffe.data.store import Row, rows_of_struct
from minicaffe.device import check_available
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights
from minicaffe.proto import minicaffe_pb2 as pb

from ..executor import executor_log, feeding_layers, use_threads
from ..inference import rows_of
from ..portable import Places, give_files, put_places
from ..shipping.user_code import Code, importable
from ..task_input import task_folder, unpack_files
from .nets import batch_size

WEIGHTS = "weights.caffemodel"
INPUT = "minicaffe input"  # a column: a row's sample, as a struct


@dataclass(frozen=True)
class TransformJob:
    """What the tasks of a transform get; they need no driver, since they may run much later."""

    net: bytes = field(repr=False)  # its data layer first
    places: Places = field(repr=False)
    files: dict[str, bytes] = field(repr=False)  # small files that the net names, and the weights
    code: Code = field(repr=False)
    blobs: tuple[str, ...]
    device: str

    def unpack(self, folder: str) -> tuple[pb.NetParameter, str]:
        """Write the files into a folder; the net that names them there, and the weights' path."""
        net = pb.NetParameter.FromString(self.net)
        unpack_files(self.files, folder)
        give_files(net, folder)
        put_places([net], self.places)
        return net, os.path.join(folder, WEIGHTS)


class Forward:
    """A net whose data layer is fed with rows; it is built with the first row that can be read."""

    def __init__(self, job: TransformJob, param: pb.NetParameter, weights: str) -> None:
        self.job = job
        self.param = param
        self.weights = weights
        data = param.layer[0]
        data.source_class = NAME
        self.size = batch_size(data)
        self.source = GivenRows(data, TEST)
        self.net: Net | None = None

    def __call__(self, rows: Sequence[Row]) -> list[NDArray[np.float32] | None]:
        """For each row the values of all blobs, one after the other; None for one without."""
        answers: list[NDArray[np.float32] | None] = [None] * len(rows)
        for first in range(0, len(rows), self.size):
            self.source.given = rows[first : first + self.size]
            net = self.net or self._built()
            if net is None:
                continue
            [layer] = feeding_layers(net)
            layer.batches.bad.clear()
            layer.batches.source.given = self.source.given
            ids = layer.load(range(len(self.source.given)))
            if not ids:
                continue
            net.forward_pass()
            # (copies: the blobs are overwritten by the next batch)
            found = [rows_of(net, name, len(ids)).copy() for name in self.job.blobs]
            for at, name in enumerate(ids):
                answers[first + int(name)] = [values[at] for values in found]  # type: ignore[call-overload]
        return answers

    def _built(self) -> Net | None:
        """The net; None where no row can be read, which would tell the shapes."""
        good = self.source.first_good()
        if good is None:
            return None
        with rows_given(self.source.given[good:]):
            self.net = Net(self.param, share_memory=True, keep=self.job.blobs)
        load_weights(self.net, self.weights)
        return self.net

    def close(self) -> None:
        """Give the net's memory back."""
        if self.net is not None:
            self.net.close()


def transform_batches(job: TransformJob, batches: Iterator[Any]) -> Iterator[Any]:
    """Arrow's record batches, in which the column INPUT is replaced by one of values a blob."""
    import pyarrow
    from pyspark import TaskContext

    check_available(job.device)
    task = TaskContext.get()
    use_threads(task.cpus() if task else 1)
    with (
        executor_log(logging.WARNING),
        task_folder() as folder,
        context.fresh(job.device),
        importable(job.code, folder),
        contextlib.closing(Forward(job, *job.unpack(folder))) as forward,
    ):
        for batch in batches:
            at = batch.schema.get_field_index(INPUT)
            answers = forward(list(rows_of_struct(batch.column(at))))
            columns = [batch.column(i) for i in range(batch.num_columns) if i != at]
            names = [name for i, name in enumerate(batch.schema.names) if i != at]
            for number, name in enumerate(job.blobs):
                rows = [None if answer is None else answer[number] for answer in answers]
                columns.append(pyarrow.array(rows, pyarrow.list_(pyarrow.float32())))
                names.append(f"{INPUT} {name}")
            yield pyarrow.RecordBatch.from_arrays(columns, names=names)
