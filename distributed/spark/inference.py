"""What runs on the executors for test and features: the TEST net over a part of the samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe import TEST, context
from minicaffe.device import check_available
from minicaffe.errors import DataError, Error, LayerError, extra
from minicaffe.net.batch_axis import batch_axes
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights

from .executor import executor_log, feeding_layers, keep_kernels, sentence_of, use_threads
from .files.desk import JobFiles
from .forward_report import TaskLine, calling
from .shipping.user_code import importable
from .task_input import ForwardJob, task_folder

KEY = "SampleID"  # the column of the samples' ids


def count_samples(job: ForwardJob, rows: Iterator[Any]) -> Iterator[int]:
    """How many samples the TEST net's source has."""
    with forward_net(job) as (_, layer, _):
        yield len(layer.batches.source)


def extract_partition(job: ForwardJob, bad: Any, parts: Iterator[Any]) -> Iterator[Any]:
    """Arrow batches of (sample id, values of each blob), a batch of the net each.

    `parts` are Arrow batches too, with the columns `first` and `end` of ranges of samples. Values
    go from the net's arrays to Spark without becoming Python's numbers, which would take as long
    as a small net.
    """
    pa = extra("pyarrow", "spark", "features")
    ranges = (tuple(row.values()) for part in parts for row in part.to_pylist())
    with forward_net(job) as (net, layer, line):
        for ids in passes(net, layer, ranges, bad):
            line.done(len(ids))
            columns = [pa.array(ids, pa.string())]
            for name in job.blobs:
                rows = rows_of(net, name, len(ids))
                bounds = np.arange(len(ids) + 1, dtype=np.int32) * np.int32(rows.shape[1])
                values = pa.array(np.array(rows).reshape(-1))  # the net will write over its own
                columns.append(pa.ListArray.from_arrays(bounds, values))
            yield pa.RecordBatch.from_arrays(columns, [KEY, *job.blobs])


def test_partition(
    job: ForwardJob, bad: Any, ranges: Iterator[tuple[int, int]]
) -> Iterator[tuple[int, dict[str, list[float]]]]:
    """The number of samples in the ranges, and the sum over them of each output's values."""
    count = 0
    sums: dict[str, NDArray[np.float64]] = {}
    with forward_net(job) as (net, layer, line):
        for ids in passes(net, layer, ranges, bad):
            line.done(len(ids))
            count += len(ids)
            for name in net.output_names:
                total = rows_of(net, name, len(ids)).sum(axis=0, dtype=np.float64)
                sums[name] = sums.get(name, 0.0) + total
    yield count, {name: values.tolist() for name, values in sums.items()}


@contextlib.contextmanager
def forward_net(job: ForwardJob) -> Iterator[tuple[Net, Any, TaskLine]]:
    """The TEST net with its weights, the layer that feeds it, and the line to the driver."""
    from pyspark import TaskContext

    check_available(job.device)
    task = TaskContext.get()
    use_threads(task.cpus() if task else 1)
    keep_kernels()
    with (
        _in_one_sentence(),
        executor_log(job.log_level),
        task_folder() as folder,
        context.fresh(job.device, job.precision) as here,
        importable(job.code, folder),
        calling(job.call, task.partitionId() if task else 0) as line,
        JobFiles(job.call, task.partitionId() if task else 0) as files,
    ):
        here.data_threads = job.data_threads
        param, weights = job.unpack(folder, files)
        net = Net(param, share_memory=param.state.phase == TEST, keep=job.blobs)
        with contextlib.closing(net):
            load_weights(net, weights)
            feeding = feeding_layers(net)
            if len(feeding) != 1:
                raise DataError(
                    "test and features need one data layer that reads a source (MemoryData with"
                    f" source_class, CoSData, Data ...); the TEST net has {len(feeding)}"
                )
            yield net, feeding[0], line


@contextlib.contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Of what Spark brings home of an error, the driver shows the sentence of one of ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Error) or not hasattr(error, "__notes__"):
            raise
        raise LayerError(sentence_of(error)) from error


def passes(
    net: Net, layer: Any, ranges: Iterator[tuple[int, int]], bad: Any
) -> Iterator[list[str]]:
    """Run the net forward over ranges of samples, batch by batch; the ids of each batch."""
    batches = layer.batches
    for first, end in ranges:
        for start in range(first, end, batches.order.batch):
            ids = layer.load(range(start, min(start + batches.order.batch, end)))
            if ids:
                net.forward_pass()
                yield ids
    bad.add(dict(batches.bad))


def rows_of(net: Net, name: str, rows: int) -> NDArray[np.float32]:
    """(rows, values): a blob's values a sample; those of the whole batch stand in every row.

    Of a blob in which time comes first, (T, N, ...), a sample has its (T, ...).
    """
    values: NDArray[np.float32] = net.blob_dict[name].data.read("cpu")
    axis = batch_axes(net)[name]
    if values.ndim > axis and values.shape[axis] == rows:
        return np.moveaxis(values, axis, 0).reshape(rows, -1)
    return np.tile(values.reshape(1, -1), (rows, 1))
