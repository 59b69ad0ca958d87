"""DataSource: which data set of a Config's net, in the ancestor's words."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import MutableSequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.source import Sample, StoredPicture
from minicaffe.data.sources.offered import Offered
from minicaffe.errors import ClusterError, DataError
from minicaffe.layer import layer_class, parameter_field
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb

from .config import Config
from .executor import feeding_layers
from .frames.samples import has_pictures, make_rdd, plan_data

CAPACITY = 1024  # samples that wait in a source's queue

Arrays = MutableSequence[NDArray[np.float32]]


class Source:
    """The data of one phase: the layer of `conf`'s net that is fed by it.

    For training, tests and features it says no more than that: the ranks read the data. With the
    other methods a program reads them itself: `makeRDD` gives all samples; `offer` takes some,
    and `nextBatch` gives of them what the layer gives to the net.
    """

    def __init__(self, conf: Config, isTrain: bool) -> None:
        self.conf = conf
        self.isTrain = isTrain
        self._queue: deque[Any] = deque()
        self._capacity = CAPACITY
        self._numbers = itertools.count()
        self._net: Net | None = None

    @property
    def layer(self) -> pb.LayerParameter:
        """The layer, as the prototxt now has it. What is changed in it holds until that changes."""
        return self.conf.data_layer(pb.TRAIN if self.isTrain else pb.TEST)

    @property
    def source_class(self) -> str:
        """The class of the source: LMDB, LevelDB, ..."""
        name, _ = layer_class(self.layer.type).fed_by(self.layer) or ("", "")
        return name.rpartition(".")[2]

    def batchSize(self) -> int:
        """Samples a batch and rank."""
        return int(getattr(self._parameter(), "batch_size", 0))

    def setBatchSize(self, size: int) -> None:
        """Take another batch size than the prototxt's, here and in what is trained or tested."""
        parameter = self._parameter()
        if size < 1 or not hasattr(parameter, "batch_size"):
            raise ClusterError(f"layer '{self.layer.name}': it takes no batch_size {size}")
        parameter.batch_size = size
        self.close()

    def useCoSDataLayer(self) -> bool:
        """Whether the layer is of type CoSData, with any number of tops."""
        return bool(self.layer.type == "CoSData")

    def getNumTops(self) -> int:
        """How many tops the layer has."""
        return len(self.layer.top)

    def getTopDataType(self, index: int) -> int:
        """What a top holds: a number of CoSDataParameter.DataType."""
        if self.useCoSDataLayer():
            return int(self.layer.cos_data_param.top[index].type)
        picture = index == 0 and self.layer.type != "HDF5Data"
        return int(pb.CoSDataParameter.RAW_IMAGE if picture else pb.CoSDataParameter.FLOAT)

    def getTopTransformParam(self, index: int) -> pb.TransformationParameter | None:
        """How the pictures of a top are transformed; None for a top that is not."""
        if self.useCoSDataLayer():
            top = self.layer.cos_data_param.top[index]
            return top.transform_param if top.HasField("transform_param") else None
        return self.layer.transform_param if index == 0 else None

    # --- the samples ---------------------------------------------------------------------------

    def makeRDD(self, sc: Any = None) -> Any:
        """All samples as an RDD, in order, each once.

        A labelled picture is a tuple (id, label, channels, height, width, encoded, bytes): see
        StoredPicture; another sample a Row of its id and a value a top. What cannot be read is left
        out, and named in the executor's log.
        """
        context = self.conf.sc if sc is None else getattr(sc, "sparkContext", sc)
        return make_rdd(context, plan_data(self.conf, self.isTrain), self.conf.lmdb_partitions)

    def init(self) -> bool:
        """Open the data here, on the driver. Raises DataError or LayerError where it cannot."""
        self.close()
        with plan_data(self.conf, self.isTrain).opened() as net:
            layer = feeding_layers(net)[0]
            layer.batches.source.close()
            layer.batches.source = Offered(layer.param, layer.phase)
            self._net = net
        return True

    def close(self) -> None:
        """Give back what `init` has opened."""
        if self._net is not None:
            self._net.close()
            self._net = None

    def resetQueue(self, capacity: int = CAPACITY) -> None:
        """Forget the samples that were offered; let so many wait from now on."""
        self._queue.clear()
        self._capacity = capacity if 0 < capacity <= CAPACITY else CAPACITY

    def offer(self, sample: Any) -> bool:
        """Add a sample of `makeRDD` to the queue; False if it is full. None marks the end."""
        if len(self._queue) >= self._capacity:
            return False
        self._queue.append(sample)
        return True

    def nextBatch(self, sampleIds: MutableSequence[str], data: Arrays) -> bool:
        """Fill two lists with the next batch of the queue: ids, and an array a top, transformed.

        True if the queue had a whole batch, False at its end or at a mark. Samples that cannot be
        read are left out. Raises DataError for what is no sample.
        """
        net = self._opened()
        layer: Any = feeding_layers(net)[0]
        numbers: list[int] = []
        layer.batches.source.close()
        while self._queue and len(numbers) < self.batchSize():
            sample = self._queue.popleft()
            if sample is None:
                break
            numbers.append(next(self._numbers))
            layer.batches.source.put(numbers[-1], self._sample(layer, sample))
        sampleIds[:] = layer.load(numbers)
        if sampleIds:
            net.forward_pass()
        else:
            layer.loaded = None
        tops = [net.blob_dict[top].data.read("cpu").copy() for top in self.layer.top]
        data[:] = tops if sampleIds else []
        return len(numbers) == self.batchSize()

    def dummyDataHolder(self) -> list[NDArray[np.float32]]:
        """What `nextBatch` fills: an array of zeros a top."""
        return self.dummyDataBlobs()

    def dummyDataBlobs(self) -> list[NDArray[np.float32]]:
        """An array of zeros a top, of the shape of a whole batch."""
        net = self._opened()
        return [np.zeros(net.blob_dict[top].shape, np.float32) for top in self.layer.top]

    # --- inside ------------------------------------------------------------------------------

    def _parameter(self) -> Any:
        """The message of the layer's own parameters."""
        field = parameter_field(self.layer.type)
        return getattr(self.layer, field) if field else None

    def _opened(self) -> Net:
        if self._net is None:
            self.init()
        assert self._net is not None
        return self._net

    def _sample(self, layer: Any, given: Any) -> StoredPicture | Sample:
        """What a tuple or a Row of `makeRDD` says."""
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            if has_pictures(layer):
                return StoredPicture(*given)
            row = given.asDict() if hasattr(given, "asDict") else dict(given)
            values = tuple(np.asarray(row[top], np.float32) for top in layer.param.top)
            return Sample(str(row["id"]), values)
        wanted = StoredPicture._fields if has_pictures(layer) else ("id", *layer.param.top)
        raise DataError(
            f"layer '{layer.name}': a sample is ({', '.join(wanted)}), not {given!r:.80}"
        )


class DataSource:
    """`DataSource.getSource(conf, isTraining)`, or the ancestor's `DataSource(sc).getSource(...)`.

    The data themselves are read by the ranks; see minicaffe/data/source.py for how to add a kind.
    """

    def __init__(self, sc: Any = None) -> None:
        self.sc = sc

    @staticmethod
    def getSource(conf: Config, isTraining: bool) -> Source:
        """The data of the TRAIN or the TEST phase. Raises ClusterError when there is none."""
        source = Source(conf, bool(isTraining))
        layer = source.layer
        fed_by = layer_class(layer.type).fed_by(layer)
        if fed_by is not None and not fed_by[0]:
            raise ClusterError(
                f"layer '{layer.name}' ({layer.type}): source_class must be given, such as LMDB"
            )
        return source
