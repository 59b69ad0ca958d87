"""CaffeOnSpark: train, test and extract features on a Spark cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable
from typing import Any

from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb

from ..ports import read_ports
from .config import Config
from .data_source import Source
from .driver import Training
from .files.desk import FileDesk
from .forward_report import ForwardReport, left_out, tell
from .frames.array_frame import array_frame, array_schema, first_of, vector_of
from .inference import KEY, count_samples, extract_partition, test_partition
from .preflight import plan_forward, plan_training
from .session import context_of, running_session
from .shipping.far_settings import carried
from .shipping.package_code import ship_code
from .slots import await_slots, check_settings, count_slots, grows
from .spark_job import run_job, wake_executors
from .task_input import ForwardJob

log = logging.getLogger("minicaffe.spark")

Rows = list[tuple[int, dict[str, list[float]]]]
Work = Callable[[Any, ForwardJob, int, Any, ForwardReport], Any]


class CaffeOnSpark:
    """What a Spark program does with a net: `CaffeOnSpark(sc).train(source)`, test, features.

    Everything is refused, in one line, before a job starts where that is possible; an error on a
    rank comes back as ClusterError with the rank's number and host. Ctrl-C ends the job on all
    executors. The SparkContext (or SparkSession) is the caller's.
    """

    def __init__(self, sc: Any) -> None:
        self.sc = context_of(sc)

    def train(self, source: Source) -> Training:
        """Train without validation, and write conf.modelPath; the course of the training.

        Snapshots go into the model's folder, as do NAME.metrics.csv and NAME.tensorboard.
        """
        return self._train(source, None)

    def trainWithValidation(self, source: Source, validation: Source) -> Any:
        """Train, and test every test_interval iterations; the tests' results as a DataFrame.

        One column array<float> an output of the TEST net, in the order of the net's outputs, and a
        row a test: after test_interval iterations, 2 test_interval, ... below max_iter. Each value
        is the mean over test_iter batches. (The metrics have the tests at the start and the end.)
        """
        training = self._train(source, validation)
        max_iter = training.plan.solver.max_iter
        rows = [values for iteration, values in training.validations if 0 < iteration < max_iter]
        grouped = [_grouped(values) for values in rows or [v for _, v in training.validations]]
        if not grouped:
            raise ClusterError("the training ended without a test: max_iter is below test_interval")
        names = list(grouped[0])
        return array_frame(
            [tuple(row[name] for name in names) for row in grouped[: len(rows)]], names
        )

    def _train(self, source: Source, validation: Source | None) -> Training:
        conf = self._config(source)
        if not source.isTrain:
            raise ClusterError("training needs the data for it: DataSource.getSource(conf, True)")
        if validation is not None and validation.isTrain:
            raise ClusterError("validation needs its own data: DataSource.getSource(conf, False)")
        check_settings(self.sc)
        plan = plan_training(conf, validation is not None)
        if not plan.model:
            log.warning("no -model is given: the trained weights are not kept")
        await_slots(self.sc, conf.clusterSize, conf.wait)
        return Training(conf, plan).run()

    def test(self, source: Source) -> dict[str, list[float]]:
        """The mean of every output of the TEST net over all samples, element by element."""
        conf = self._config(source)
        parts: Rows = self._run(conf, "test", plan_forward(conf, ()), _test)
        count = sum(samples for samples, _ in parts)
        if count == 0:
            raise ClusterError("no sample of the test data can be read")
        names = next(list(sums) for samples, sums in parts if samples)
        return {
            name: [
                math.fsum(values) / count
                for values in zip(*(sums[name] for samples, sums in parts if samples), strict=True)
            ]
            for name in names
        }

    def features(self, source: Source) -> Any:
        """A DataFrame with a row a sample: SampleID, and an array<float> of each blob's values.

        The blobs are conf.features, conf.label among them. A blob that has no values a sample
        (accuracy, loss) repeats those of its batch in each row. The frame is computed once and
        kept on the executors' disks.
        """
        conf = self._config(source)
        if not conf.features:
            raise ClusterError("no blobs are given: -features NAME,NAME")
        job = plan_forward(conf, tuple(conf.features))
        return self._run(conf, "features", job, self._features)

    # --- for Spark's other libraries ---------------------------------------------------------

    @property
    def sqlContext(self) -> Any:
        """The SparkSession, which does what Spark's SQLContext once did."""
        return running_session()

    @staticmethod
    def floatarray2doubleUDF(column: Any) -> Any:
        """A column of arrays (its name, or a Column) as the number that each begins with."""
        return first_of(column)

    @staticmethod
    def floatarray2doublevectorUDF(column: Any) -> Any:
        """A column of arrays (its name, or a Column) as the vectors that Spark ML takes."""
        return vector_of(column)

    # --- inside ------------------------------------------------------------------------------

    def _config(self, source: Source) -> Config:
        source.conf.sc = self.sc
        return source.conf

    def _run(self, conf: Config, verb: str, job: ForwardJob, work: Work) -> Any:
        """Run a forward job and tell of samples that were left out."""
        ship_code(self.sc)
        if grows(self.sc):
            wake_executors(self.sc, conf.wait)
        await_slots(self.sc, 1, conf.wait)
        bad = left_out(self.sc)
        net = conf.protoFile.rpartition("/")[2]
        partitions = conf.lmdb_partitions or max(conf.clusterSize, count_slots(self.sc))
        desk, ports = FileDesk([job.weights]), read_ports(conf.ports)
        with contextlib.closing(ForwardReport(self.sc, desk, ports)) as report:
            job = dataclasses.replace(job, call=report.call)
            result = run_job(
                self.sc,
                f"minicaffe {verb} {net}",
                f"minicaffe: {verb} with {conf.modelPath} on {net}",
                functools.partial(work, self.sc, job, partitions, bad, report),
                conf.debug,
                report.state,
            )
        tell(bad.value)
        return result

    def _features(
        self, sc: Any, job: ForwardJob, partitions: int, bad: Any, report: ForwardReport
    ) -> Any:
        from pyspark import StorageLevel

        ranges = _ranges(sc, job, partitions, report)
        frame = running_session().createDataFrame(ranges, "first long, end long")
        body = carried(sc, functools.partial(extract_partition, job, bad))
        frame = frame.mapInArrow(body, array_schema(job.blobs, KEY))
        frame.persist(StorageLevel.DISK_ONLY).count()
        return frame


def _test(sc: Any, job: ForwardJob, partitions: int, bad: Any, report: ForwardReport) -> Rows:
    body = carried(sc, functools.partial(test_partition, job, bad))
    rows: Rows = _ranges(sc, job, partitions, report).mapPartitions(body).collect()
    return rows


def _ranges(sc: Any, job: ForwardJob, partitions: int, report: ForwardReport) -> Any:
    """An RDD of (first, end): all samples, in order, in so many parts of nearly equal size."""
    body = carried(sc, functools.partial(count_samples, job))
    count = report.total = sc.parallelize([0], 1).mapPartitions(body).collect()[0]
    parts = max(min(partitions, count), 1)
    bounds = [count * part // parts for part in range(parts + 1)]
    return sc.parallelize(list(itertools.pairwise(bounds)), parts)


def _grouped(values: dict[str, float]) -> dict[str, list[float]]:
    """Values by output name: name[0], name[1] ... come together as one list."""
    found: dict[str, list[float]] = {}
    for name, value in values.items():
        found.setdefault(name.partition("[")[0], []).append(float(value))
    return found


def has_validation(solver: pb.SolverParameter) -> bool:
    """Whether a solver says how to validate."""
    return solver.test_interval > 0 and len(solver.test_iter) > 0
