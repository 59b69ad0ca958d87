"""DataSource: which data set of a Config's net, in the ancestor's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb

from . import portable
from .config import Config


@dataclass(frozen=True)
class Source:
    """The data of one phase: the layer of `conf`'s net that is fed by it."""

    conf: Config
    isTrain: bool
    layer: pb.LayerParameter

    @property
    def source_class(self) -> str:
        """The class of the source: LMDB, LevelDB, ..."""
        if self.layer.type == "Data":
            lmdb = self.layer.data_param.backend == pb.DataParameter.LMDB
            return "LMDB" if lmdb else "LevelDB"
        return self.layer.source_class.rpartition(".")[2]

    def batchSize(self) -> int:
        """Samples a batch and rank."""
        param: Any = self.layer.data_param
        if self.layer.type != "Data":
            param = self.layer.memory_data_param
        return int(param.batch_size)


class DataSource:
    """`DataSource.getSource(conf, isTraining)`, or the ancestor's `DataSource(sc).getSource(...)`.

    The data themselves are read by the ranks; see minicaffe/data/source.py for how to add a kind.
    """

    def __init__(self, sc: Any = None) -> None:
        self.sc = sc

    @staticmethod
    def getSource(conf: Config, isTraining: bool) -> Source:
        """The data of the TRAIN or the TEST phase. Raises ClusterError when there is none."""
        if isTraining:
            net, phase = portable.train_net(conf.solverParameter), pb.TRAIN
        else:
            net, phase = portable.test_net(conf.solverParameter), pb.TEST
        layer = net.layer[portable.data_layer(net, phase)]
        if layer.type == "MemoryData" and not layer.source_class:
            raise ClusterError(
                f"layer '{layer.name}' (MemoryData): source_class must be given, such as LMDB"
            )
        return Source(conf, bool(isTraining), layer)
