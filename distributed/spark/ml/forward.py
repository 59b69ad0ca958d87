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
from minicaffe.data.batches import Batches, HashedDraws
from minicaffe.data.source import Order
from minicaffe.data.sources.picture_rows import PictureRows
from minicaffe.data.store import Row, rows_of_struct
from minicaffe.data.transformer import DataTransformer
from minicaffe.device import check_available
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights
from minicaffe.proto import minicaffe_pb2 as pb

from ..executor import executor_log, use_threads
from ..inference import rows_of
from ..portable import Places, give_files, put_places
from ..shipping.user_code import Code, importable
from ..task_input import task_folder, unpack_files

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
    """A net without its data layer, which is fed with rows."""

    def __init__(self, job: TransformJob, param: pb.NetParameter, weights: str) -> None:
        self.job = job
        self.param = param
        self.weights = weights
        data = pb.LayerParameter()
        data.CopyFrom(param.layer[0])
        self.tops = list(data.top)
        self.size: int = data.memory_data_param.batch_size
        self.source = PictureRows(data, TEST)
        order = Order(1, self.size, shuffle=False)
        transformer = DataTransformer(data.transform_param, TEST)
        self.batches = Batches(self.source, order, [transformer, None], HashedDraws(0))
        self.net: Net | None = None

    def __call__(self, rows: Sequence[Row]) -> list[NDArray[np.float32] | None]:
        """For each row the values of all blobs, one after the other; None for one without."""
        answers: list[NDArray[np.float32] | None] = [None] * len(rows)
        for first in range(0, len(rows), self.size):
            self.source.given = rows[first : first + self.size]
            self.batches.bad.clear()
            batch = self.batches.read(range(len(self.source.given)))
            if not batch.ids:
                continue
            net = self._reshaped(batch.tops)
            net.forward_pass()
            # (copies: the blobs are overwritten by the next batch)
            found = [rows_of(net, name, len(batch.ids)).copy() for name in self.job.blobs]
            for at, name in enumerate(batch.ids):
                answers[first + int(name)] = [values[at] for values in found]  # type: ignore[call-overload]
        return answers

    def _reshaped(self, tops: Sequence[NDArray[np.float32]]) -> Net:
        if self.net is None:
            self.net = self._built(tops)
        for name, values in zip(self.tops, tops, strict=True):
            blob = self.net.blob_dict[name]
            blob.reshape(values.shape)
            blob.data.write("cpu")[...] = values
        return self.net

    def _built(self, tops: Sequence[NDArray[np.float32]]) -> Net:
        inputs = pb.LayerParameter(name=self.param.layer[0].name, type="Input", top=self.tops)
        for values in tops:
            inputs.input_param.shape.add().dim.extend(values.shape)
        self.param.layer[0].CopyFrom(inputs)
        net = Net(self.param, share_memory=True, keep=self.job.blobs)
        load_weights(net, self.weights)
        self.batches.shapes = [values.shape[1:] for values in tops]
        return net

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
