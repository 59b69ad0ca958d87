"""The data layer of a net alone: on the driver, and on executors for the samples as an RDD."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minicaffe import context
from minicaffe.errors import DataError
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb

from .. import portable
from ..config import Config
from ..executor import executor_log, feeding_layers
from ..preflight import prepare_nets
from ..shipping.far_settings import carried
from ..shipping.package_code import ship_code
from ..shipping.user_code import Code, importable, tried_here
from ..slots import count_slots
from ..stores import put_stores
from ..task_input import unpack_files

log = logging.getLogger("minicaffe.spark")


@dataclass(frozen=True)
class DataJob:
    """What opening a data layer takes, anywhere."""

    net: bytes = field(repr=False)  # of the one layer
    places: portable.Places = field(repr=False)
    files: dict[str, bytes] = field(repr=False)
    code: Code = field(repr=False)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Net]:
        """The net of the layer, whose source is open. It goes on after the block, to be closed."""
        with (
            tempfile.TemporaryDirectory(prefix="minicaffe-") as folder,
            context.fresh("cpu"),
            importable(self.code, folder),
        ):
            net = pb.NetParameter.FromString(self.net)
            unpack_files(self.files, folder)
            portable.give_files(net, folder)
            portable.put_places([net], self.places)
            yield Net(net)


def plan_data(conf: Config, train: bool) -> DataJob:
    """Check the nets of a Config, and gather what their data layer needs."""
    solver = pb.SolverParameter()
    solver.CopyFrom(conf.solverParameter)
    files, code = prepare_nets(conf, solver, train)
    net = portable.train_net(solver) if train else portable.test_net(solver)
    with tried_here(code):
        put_stores(conf, [net], [net])
    index = portable.data_layer(net, net.state.phase)
    places = portable.get_places([net])[0]
    alone = pb.NetParameter(name=net.name, state=net.state, layer=[net.layer[index]])
    return DataJob(alone.SerializeToString(), ((places[index],),), files, code)


def make_rdd(sc: Any, job: DataJob, partitions: int) -> Any:
    """All samples as an RDD, in order, in so many parts (0: as many as run at once)."""
    ship_code(sc)
    counting = carried(sc, functools.partial(_count, job))
    count = sc.parallelize([0], 1).mapPartitions(counting).collect()[0]
    parts = max(min(partitions or count_slots(sc), count), 1)
    bounds = [count * part // parts for part in range(parts + 1)]
    ranges = sc.parallelize(list(itertools.pairwise(bounds)), parts)
    return ranges.mapPartitions(carried(sc, functools.partial(_samples, job)))


def has_pictures(layer: Any) -> bool:
    """Whether an opened data layer is fed with labelled pictures."""
    transformed = [each is not None for each in layer.batches.transformers]
    return transformed == [True, False] and layer.type != "CoSData"


@contextlib.contextmanager
def _layer(job: DataJob) -> Iterator[Any]:
    with executor_log(logging.WARNING), job.opened() as net, contextlib.closing(net):
        yield feeding_layers(net)[0]


def _count(job: DataJob, rows: Iterator[Any]) -> Iterator[int]:
    with _layer(job) as layer:
        yield len(layer.batches.source)


def _samples(job: DataJob, ranges: Iterator[tuple[int, int]]) -> Iterator[Any]:
    """The samples of some ranges: tuples of pictures, or Rows. What cannot be read is left out."""
    from pyspark.sql import Row

    with _layer(job) as layer:
        source, tops = layer.batches.source, list(layer.param.top)
        pictures = has_pictures(layer)
        for index in itertools.chain.from_iterable(itertools.starmap(range, ranges)):
            try:
                if pictures:
                    yield tuple(source.stored(index))
                else:
                    name, values = source.read(index)
                    columns = {
                        top: value.tolist() for top, value in zip(tops, values, strict=False)
                    }
                    yield Row(**{"id": name, **columns})
            except DataError as error:
                log.warning("left out: %s", error)
