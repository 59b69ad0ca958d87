"""DataSource: which data set of a Config's net, in the ancestor's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minicaffe.errors import ClusterError
from minicaffe.layer import layer_class, parameter_field
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
        name, _ = layer_class(self.layer.type).fed_by(self.layer) or ("", "")
        return name.rpartition(".")[2]

    def batchSize(self) -> int:
        """Samples a batch and rank."""
        field = parameter_field(self.layer.type)
        return int(getattr(getattr(self.layer, field), "batch_size", 0)) if field else 0


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
        fed_by = layer_class(layer.type).fed_by(layer)
        if fed_by is not None and not fed_by[0]:
            raise ClusterError(
                f"layer '{layer.name}' ({layer.type}): source_class must be given, such as LMDB"
            )
        return Source(conf, bool(isTraining), layer)
